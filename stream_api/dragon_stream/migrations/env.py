"""Runs this folder's migrations on the connection from `dragon.storage.database`."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_stream",
    transactional_ddl=False,  # the caller's transaction is the transaction
)
context.run_migrations()
