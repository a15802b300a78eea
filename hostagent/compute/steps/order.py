"""The order of the steps: one list. Bring-up walks it forwards, taking down backwards."""

from hostagent.compute.steps import Step
from hostagent.compute.steps.disks import Disks
from hostagent.compute.steps.domain import Domain
from hostagent.compute.steps.image import Image
from hostagent.compute.steps.network import Network

STEPS: tuple[Step, ...] = (Image(), Disks(), Network(), Domain())
