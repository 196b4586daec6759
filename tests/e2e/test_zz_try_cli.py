import sqlite3, time
from tests.support.cli import Amanat
def test_try(tmp_path):
    a=Amanat(tmp_path)
    with sqlite3.connect(tmp_path/"app.sqlite") as c: c.execute("create table t(x)")
    c.close()
    a.policies("""
    version: 1
    databases:
      app: {engine: sqlite, environment: local, path: app.sqlite}
    policies:
      nightly: {databases: [app], schedule: {cron: "15 2 * * *", timezone: UTC}, keep: {last: 3}}
    """)
    print(a.json("snapshot","app"))
    t=time.time()
    with a.daemon() as d:
        print(time.time()-t)
        d.wait_for("x", lambda: d.metric("run_last_success_timestamp_seconds", database="app", policy="nightly", stage="snapshot"))
        print(d.readiness(), d.status())
        print(d.output())
        assert d.stop()==0
    print(a.files(), a.json("list"))
