"""When runs happen: APScheduler runs the jobs, a trigger on top of cronsim says when."""
