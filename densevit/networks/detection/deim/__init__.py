"""DEIMv2 (arXiv:2509.20787) and D-FINE (arXiv:2410.13842): boxes as refined distributions of their edges."""
from .deim import DEIM
from .loss import DEIMLoss

__all__ = ['DEIM', 'DEIMLoss']
