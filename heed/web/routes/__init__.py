"""The app's routes, one file a noun; every route declares who may use it (see heed.web.access)."""
