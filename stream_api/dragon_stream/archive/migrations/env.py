"""Run this folder's migrations on the connection that `dragon.storage.database` provides."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_archive",
    transactional_ddl=False,  # the caller's transaction is the transaction
)
context.run_migrations()
