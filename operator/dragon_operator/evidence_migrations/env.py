"""Runs the migrations of this folder on the connection given by `dragon.storage.database`."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_evidence",
    transactional_ddl=False,  # the caller's transaction is the transaction
)
context.run_migrations()
