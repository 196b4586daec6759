"""What people configure: policy YAML, service settings, an application's .env."""
