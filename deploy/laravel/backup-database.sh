#!/bin/sh
# Take a snapshot of this Laravel application's database with Amanat.
# Copy this file into the application's backend/ folder, beside artisan and .env.
set -eu

usage() {
    cat <<'TEXT'
usage: ./backup-database.sh NAME [OPTION...]
       ./backup-database.sh --name=NAME [OPTION...]

Takes a proven snapshot of the database that .env names and leaves it here too, as
database/database_backup_<timestamp>_<NAME>.sqlite or .dump (timestamp in UTC).

  --name=NAME          the snapshot's name, such as nightly or pre_release
  --connection=NAME    sqlite or pgsql, instead of DB_CONNECTION
  --tables=A,B         only these tables: names or globs
  --purpose=TEXT       why, for the register, such as "pre release 2.1.0"
  --by=WHO             who, for the register (default: the OS user)
  --help               show this

environment:
  AMANAT               the amanat command (default: from PATH, else /opt/amanat/bin/amanat)
  AMANAT_POLICIES      policy file (default: /etc/amanat/policies.yaml if it can be read; none is needed)
  AMANAT_STORE         folder of the snapshots (default: ../database-backups if it exists, else database-backups)
  AMANAT_STATE         folder of the register (default: .amanat beside the store)

Exit status: 0 taken and proven, 127 there is no amanat, else that of `amanat snapshot`
(2 wrong usage or configuration, 3 failed, 5 not found, 6 busy).
TEXT
}

refuse() {
    printf 'backup-database.sh: %s\n  → %s\n' "$1" "$2" >&2
    exit "${3:-2}"
}

# A variable that is not set must not turn --tables=$TABLES into the whole database.
given() {
    [ -n "${1#*=}" ] || refuse "${1%%=*} has no value" "give one, or leave the option out"
    printf '%s' "${1#*=}"
}

named() {
    [ -z "$name" ] || refuse "there are two names: $name and $1" "give one"
    name=$1
}

absolute() {
    case $1 in
        /*) printf '%s' "$1" ;;
        *) printf '%s/%s' "$PWD" "$1" ;;
    esac
}

name='' connection='' tables='' purpose='' by=''
for word; do
    case $word in
        --name=*)
            value=$(given "$word")
            named "$value"
            ;;
        --connection=*) connection=$(given "$word") ;;
        --tables=*) tables=$(given "$word") ;;
        --purpose=*) purpose=${word#*=} ;;
        --by=*) by=${word#*=} ;;
        --help | -h)
            usage
            exit 0
            ;;
        --name | --connection | --tables | --purpose | --by) refuse "$word has no value" "write $word=VALUE" ;;
        -*) refuse "there is no option $word" "see ./backup-database.sh --help" ;;
        '') refuse "the name is empty" "say ./backup-database.sh nightly" ;;
        *) named "$word" ;;
    esac
done
[ -n "$name" ] || refuse "the snapshot has no name" "say ./backup-database.sh nightly"

# Not through a symbolic link: the folder that the link lies in is the application's.
application=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ -d "$application/database" ] ||
    refuse "there is no folder $application/database" "put this script into the application's backend/ folder"

wanted=${AMANAT:-$(command -v amanat || echo /opt/amanat/bin/amanat)}
amanat=$(command -v -- "$wanted") ||
    refuse "there is no command $wanted" "install Amanat, or name its command in the variable AMANAT" 127
amanat=$(absolute "$amanat")

if [ -n "${AMANAT_STORE:-}" ]; then
    store=$(absolute "$AMANAT_STORE") # one that is missing is an error: its disk may not be mounted
else
    store=$(dirname -- "$application")/database-backups
    [ -d "$store" ] || store=$application/database-backups
    mkdir -p -m 700 -- "$store" || refuse "the store $store cannot be made" "set AMANAT_STORE" 3
fi
state=$(dirname -- "$store")/.amanat
[ -z "${AMANAT_STATE:-}" ] || state=$(absolute "$AMANAT_STATE")

policies=${AMANAT_POLICIES:-/etc/amanat/policies.yaml}
[ -n "${AMANAT_POLICIES:-}" ] || [ -r "$policies" ] || policies=''

set -- --store="$store" --state="$state" ${policies:+--policies="$(absolute "$policies")"} snapshot \
    --name="$name" --beside="$application/database" ${tables:+--tables="$tables"} \
    ${connection:+--connection="$connection"} ${purpose:+--purpose="$purpose"} ${by:+--by="$by"} \
    -- "laravel:$application"

# So that config/amanat.env is the application's, wherever the script is called from.
cd "$application"
exec "$amanat" "$@"
