package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is what weir needs of libchdb's C interface: its command line. The
// package that carries the library has no header; the signatures are those of
// chdb's chdb.h.
type library struct {
	setSignalHandlers func(enabled int32)
	queryCmdline      func(argc int32, argv unsafe.Pointer) uintptr
	resultError       func(result uintptr) unsafe.Pointer
}

// loadLibrary maps the library into this process, for good: it cannot be
// unloaded. Its signal handlers stay off, because they would take over Go's.
func loadLibrary(path string) (l *library, err error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil { // purego panics where a symbol is missing
			err = fmt.Errorf("not libchdb %s: %v", LibraryVersion, p)
		}
	}()
	l = new(library)
	purego.RegisterLibFunc(&l.setSignalHandlers, handle, "chdb_set_signal_handlers_enabled")
	purego.RegisterLibFunc(&l.queryCmdline, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&l.resultError, handle, "chdb_result_error")
	l.setSignalHandlers(0)
	return l, nil
}

// run is clickhouse-local's main with these arguments; it returns when that ends.
func (l *library) run(args []string) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]unsafe.Pointer, 0, len(args)+1)
	for _, arg := range args {
		text := append([]byte(arg), 0)
		pin.Pin(&text[0])
		argv = append(argv, unsafe.Pointer(&text[0]))
	}
	argv = append(argv, nil)
	pin.Pin(&argv[0])
	result := l.queryCmdline(int32(len(args)), unsafe.Pointer(&argv[0]))
	if result == 0 {
		return errors.New("clickhouse ended without a result")
	}
	if text := cString(l.resultError(result)); text != "" {
		return errors.New(text)
	}
	return nil
}

// cString copies a NUL-terminated string of at most 64 KiB.
func cString(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for n < 64<<10 && *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
