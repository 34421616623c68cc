"""Why there is no proof. No message names a secret, only its place."""

from dragon.errors import ProvingError, UnluckyChallenge, UnsafeParameters, WrongWitness

__all__ = ["ProvingError", "UnluckyChallenge", "UnsafeParameters", "WrongWitness"]
