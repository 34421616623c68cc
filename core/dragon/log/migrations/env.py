"""Run this folder's migrations on the connection that `dragon.storage.database` provides."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_log",
    transactional_ddl=False,  # the caller has opened the transaction
)
context.run_migrations()
