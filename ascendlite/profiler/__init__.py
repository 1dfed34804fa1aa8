"""Where the time goes: `al.profiler.profile` records every op with its time, `record_function` names a part. The interface is `torch.profiler`'s."""

from ascendlite.profiler.averages import EventList, FunctionEventAvg
from ascendlite.profiler.record import Event, profile, record_function, tensorboard_trace_handler
from ascendlite.profiler.schedule import ProfilerAction, ProfilerActivity, schedule

__all__ = ["Event", "EventList", "FunctionEventAvg", "ProfilerAction", "ProfilerActivity", "profile", "record_function", "schedule", "tensorboard_trace_handler"]
