"""Worker processes that compute for a service, one job at a time each."""
