"""What operators do with a site: `python3 -m deploy.ops COMMAND --inventory FILE`."""
