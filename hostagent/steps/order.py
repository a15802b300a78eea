"""The order of the steps: one list. Bring-up walks it forwards, taking down backwards."""

from hostagent.steps import Step
from hostagent.steps.disks import Disks
from hostagent.steps.domain import Domain
from hostagent.steps.image import Image
from hostagent.steps.network import Network

STEPS: tuple[Step, ...] = (Image(), Disks(), Network(), Domain())
