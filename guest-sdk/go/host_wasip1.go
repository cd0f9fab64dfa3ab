package fusebox

import "unsafe"

//go:wasmimport fusebox answer
func importAnswer(ptr unsafe.Pointer, cap uint32) uint32

//go:wasmimport fusebox config
func importConfig(ptr unsafe.Pointer, len uint32) int64

//go:wasmimport fusebox context
func importContext(ptr unsafe.Pointer, cap uint32) uint32

//go:wasmimport fusebox fail
func importFail(ptr unsafe.Pointer, len uint32)

//go:wasmimport fusebox http
func importHTTP(ptr unsafe.Pointer, len uint32) int64

//go:wasmimport fusebox kv_get
func importGet(key unsafe.Pointer, keyLen uint32) int64

//go:wasmimport fusebox kv_set
func importSet(key unsafe.Pointer, keyLen uint32, value unsafe.Pointer, valueLen uint32, ttlMs int64, expects int64) int64

//go:wasmimport fusebox kv_delete
func importDelete(key unsafe.Pointer, keyLen uint32, expects int64) int64

//go:wasmimport fusebox kv_keys
func importKeys(prefix unsafe.Pointer, prefixLen uint32, after unsafe.Pointer, afterLen uint32) int64

//go:wasmimport fusebox log
func importLog(level uint32, ptr unsafe.Pointer, len uint32)

//go:wasmimport fusebox secret
func importSecret(ptr unsafe.Pointer, len uint32) int64

// place returns the address and the length of bytes.
func place(bytes []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes))
}

func hostAnswer(length int64) []byte {
	answer := make([]byte, length)
	importAnswer(place(answer))
	return answer
}

// The head of a context has five lines: an id, two numbers and two names.
func hostContext() []byte {
	context := make([]byte, 1024)
	length := importContext(place(context))
	if length > uint32(len(context)) {
		context = make([]byte, length)
		importContext(place(context))
	}
	return context[:length]
}

func hostConfig(name []byte) int64  { return importConfig(place(name)) }
func hostSecret(name []byte) int64  { return importSecret(place(name)) }
func hostGet(key []byte) int64      { return importGet(place(key)) }
func hostHTTP(request []byte) int64 { return importHTTP(place(request)) }
func hostFail(text []byte)          { importFail(place(text)) }

func hostSet(key, value []byte, ttlMs, expects int64) int64 {
	keyPtr, keyLen := place(key)
	valuePtr, valueLen := place(value)
	return importSet(keyPtr, keyLen, valuePtr, valueLen, ttlMs, expects)
}

func hostDelete(key []byte, expects int64) int64 {
	ptr, length := place(key)
	return importDelete(ptr, length, expects)
}

func hostKeys(prefix, after []byte) int64 {
	prefixPtr, prefixLen := place(prefix)
	afterPtr, afterLen := place(after)
	return importKeys(prefixPtr, prefixLen, afterPtr, afterLen)
}

func hostLog(level uint32, text []byte) {
	ptr, length := place(text)
	importLog(level, ptr, length)
}
