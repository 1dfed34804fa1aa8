"""The main job: SFT until there is something to reward, GRPO, evaluation, chats, and a report; or specialists and their student."""

from .material import check_inputs
from .page import write_report
from .run import Job
from .settings import JobSettings, settings_from_state, settings_of

__all__ = ["Job", "JobSettings", "check_inputs", "settings_from_state", "settings_of", "write_report"]
