"""The connection keywords of libpq that a policy file may use.

Source: PostgreSQL 18 manual, section 34.1.2 "Parameter Key Words". Left out: secrets (refused with a remedy),
``replication`` (dumps need an ordinary session), OAuth (it needs a person), and what libpq ignores.
"""

KEYWORDS = frozenset(
    {
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "options",
        "port",
        "require_auth",
        "requirepeer",
        "service",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    }
)

SECRET_KEYWORDS = frozenset(
    {"password", "passfile", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
SECRET_REMEDY = "write password: {credential: NAME}, {file: PATH} or {env: NAME} beside connection"  # noqa: S105  (tells where)
