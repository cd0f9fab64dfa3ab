/* The command: starts CPython once, before the image of the runtime is taken, and calls _runtime.main in each run. */
#include <Python.h>
#include <stdio.h>
#include <stdlib.h>
#include <wasi/libc-environ.h>

#define FAILED 70

extern PyObject *PyInit__fusebox(void);
extern void __wasm_call_ctors(void);

static PyObject *start;

static void fail(const char *what) {
    PyErr_Print();
    fprintf(stderr, "the runtime failed: %s\n", what);
    exit(FAILED);
}

static void path(PyConfig *config, const wchar_t *folder) {
    if (PyStatus_Exception(PyWideStringList_Append(&config->module_search_paths, folder))) fail("path");
}

/* Folders that are there only while the image is taken: the standard library and the runtime's own modules. */
static void create(void) {
    PyConfig config;
    if (PyImport_AppendInittab("_fusebox", PyInit__fusebox) < 0) fail("_fusebox");
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 0;
    config.module_search_paths_set = 1;
    path(&config, L"/lib");
    path(&config, L"/runtime");
    PyConfig_SetString(&config, &config.executable, L"/python");
    PyConfig_SetString(&config, &config.prefix, L"/");
    PyConfig_SetString(&config, &config.exec_prefix, L"/");
    if (PyStatus_Exception(Py_InitializeFromConfig(&config))) fail("start");
    PyConfig_Clear(&config);
    PyObject *module = PyImport_ImportModule("_runtime.main");
    start = module ? PyObject_GetAttrString(module, "main") : NULL;
    Py_XDECREF(module);
    if (!start) fail("_runtime.main");
}

__attribute__((export_name("wizer-initialize"))) void initialize(void) {
    __wasm_call_ctors();
    create();
}

static PyObject *strings(char **texts) {
    PyObject *list = PyList_New(0);
    for (; list && *texts; texts++) {
        PyObject *text = PyBytes_FromString(*texts);
        if (!text || PyList_Append(list, text) < 0) fail("out of memory");
        Py_DECREF(text);
    }
    return list ? list : (fail("out of memory"), NULL);
}

int main(int argc, char **argv) {
    if (argc < 1) return FAILED;
    if (!start) create();
    /* The image holds the environment of the time at which it was taken. */
    __wasilibc_deinitialize_environ();
    __wasilibc_ensure_environ();
    PyObject *code = PyObject_CallFunction(start, "NN", strings(argv), strings(__wasilibc_get_environ()));
    if (!code) fail("_runtime.main");
    /* Nothing outlives the run, so nothing is taken down. */
    fflush(NULL);
    _Exit((int)PyLong_AsLong(code));
}
