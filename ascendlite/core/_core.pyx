# cython: language_level=3, boundscheck=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=clinic, auto_pickle=False
"""The compiled core: dtypes, storage, tensors, ops and autograd. One module, so that the hot road inlines; one file a part.

It knows no operator by its mathematics: ops register themselves from `ascendlite.ops`, kernels by name in the native registry.
"""

cimport cython
from cpython.dict cimport PyDict_Size
from cpython.exc cimport PyErr_CheckSignals
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_CheckExact
from cpython.long cimport PyLong_Check, PyLong_CheckExact
from cpython.object cimport PyObject, PyTypeObject, Py_EQ, Py_GE, Py_GT, Py_LE, Py_LT, Py_NE
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from libcpp cimport bool as cbool
from libcpp.pair cimport pair
from libcpp.vector cimport vector

import operator
import weakref
from _thread import _local
from types import FunctionType

import ascendlite._native as _native
from ascendlite.absent import absent_attribute
from ascendlite.errors import (ArgumentError, BoundsError, DeviceError, DimensionError, DTypeError, GradError, OutOfMemoryError,
                               ShapeError)

include "abi.pxi"
include "types.pxi"
include "storage.pxi"
include "mode.pxi"
include "op.pxi"
include "node.pxi"
include "slots.pxi"
include "tensor.pxi"
include "pool.pxi"
include "shape.pxi"
include "launch.pxi"
include "apply.pxi"
include "pointwise.pxi"
include "record.pxi"
include "saved.pxi"
include "rules.pxi"
include "inplace.pxi"
include "views.pxi"
include "pieces.pxi"
include "gradients.pxi"
include "engine.pxi"
include "adding.pxi"
include "create.pxi"
include "npu.pxi"
include "convert.pxi"
include "index.pxi"
include "random.pxi"
include "capture.pxi"
include "replay.pxi"
include "form.pxi"
