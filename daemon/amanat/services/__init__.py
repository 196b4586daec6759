"""What Amanat does, one verb a module; effects go through the ports."""
