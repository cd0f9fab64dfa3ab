/* Module _fusebox: the imports of module "fusebox". A call returns bytes, or a number that is a refusal if negative. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "fusebox.h"

static PyObject *answer(int64_t result) {
    if (result < 0) return PyLong_FromLongLong(result);
    uint32_t length = fusebox_answer(NULL, 0);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);
    if (bytes) fusebox_answer(PyBytes_AS_STRING(bytes), length);
    return bytes;
}

static PyObject *context(PyObject *self, PyObject *none) {
    uint32_t length = fusebox_context(NULL, 0);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);
    if (bytes) fusebox_context(PyBytes_AS_STRING(bytes), length);
    return bytes;
}

static PyObject *write_log(PyObject *self, PyObject *args) {
    unsigned int level;
    const char *text;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Is#", &level, &text, &length)) return NULL;
    fusebox_log(level, text, (uint32_t)length);
    Py_RETURN_NONE;
}

#define OF_BYTES(function, format, call)                                             \
    static PyObject *function(PyObject *self, PyObject *args) {                      \
        const char *bytes;                                                           \
        Py_ssize_t length;                                                           \
        if (!PyArg_ParseTuple(args, format, &bytes, &length)) return NULL;           \
        return answer(call(bytes, (uint32_t)length));                                \
    }

OF_BYTES(config, "s#", fusebox_config)
OF_BYTES(secret, "s#", fusebox_secret)
OF_BYTES(http, "y#", fusebox_http)
OF_BYTES(kv_get, "y#", fusebox_kv_get)

static PyObject *kv_set(PyObject *self, PyObject *args) {
    const char *key, *value;
    Py_ssize_t key_length, value_length;
    long long ttl_ms, expects;
    if (!PyArg_ParseTuple(args, "y#y#LL", &key, &key_length, &value, &value_length, &ttl_ms, &expects)) return NULL;
    return PyLong_FromLongLong(fusebox_kv_set(key, (uint32_t)key_length, value, (uint32_t)value_length, ttl_ms, expects));
}

static PyObject *kv_delete(PyObject *self, PyObject *args) {
    const char *key;
    Py_ssize_t length;
    long long expects;
    if (!PyArg_ParseTuple(args, "y#L", &key, &length, &expects)) return NULL;
    return PyLong_FromLongLong(fusebox_kv_delete(key, (uint32_t)length, expects));
}

static PyObject *kv_keys(PyObject *self, PyObject *args) {
    const char *prefix, *after;
    Py_ssize_t prefix_length, after_length;
    if (!PyArg_ParseTuple(args, "y#y#", &prefix, &prefix_length, &after, &after_length)) return NULL;
    return answer(fusebox_kv_keys(prefix, (uint32_t)prefix_length, after, (uint32_t)after_length));
}

static PyMethodDef methods[] = {
    {"context", context, METH_NOARGS, NULL},
    {"log", write_log, METH_VARARGS, NULL},
    {"config", config, METH_VARARGS, NULL},
    {"secret", secret, METH_VARARGS, NULL},
    {"http", http, METH_VARARGS, NULL},
    {"kv_get", kv_get, METH_VARARGS, NULL},
    {"kv_set", kv_set, METH_VARARGS, NULL},
    {"kv_delete", kv_delete, METH_VARARGS, NULL},
    {"kv_keys", kv_keys, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fusebox", NULL, -1, methods};

PyObject *PyInit__fusebox(void) { return PyModule_Create(&module); }
