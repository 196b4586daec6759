"""What people and systems touch: command line, scheduler, HTTP, service."""
