"""Loads the compiled functions."""

from __future__ import annotations

import structlog

from dragon_sequencer import compiled

logger = structlog.stdlib.get_logger(__name__)


def load_compiled() -> None:
    """Use compiled functions in this process, if the extra `prover` is installed.

    They are tested first; if they do not compute what the plain ones do, the latter go on.
    """
    try:
        # Not at the top: most processes verify few proofs, and the extra is optional.
        from dragon_sequencer.machine import curve, self_test  # noqa: PLC0415

        functions = curve.CompiledCurve()
        self_test.check(functions)
    except ImportError:
        logger.info("plain_pairings", reason="the extra `prover` is not installed")
    except OSError:  # of llvmlite's check
        logger.warning("plain_pairings", reason="this process may not make memory executable")
    except Exception as error:  # whatever another release of LLVM raises, the plain ones go on
        logger.warning("plain_pairings", reason=str(error))
    else:
        compiled.use(functions)
        logger.info("compiled_pairings")
