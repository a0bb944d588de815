package syslog

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The words of SO_MEMINFO (linux/sock_diag.h, SK_MEMINFO_*), of which the drops are the last.
const (
	memInfoWords = 9
	memInfoDrops = 8
)

// socketDrops is how many packets a socket's queue had no room for.
func socketDrops(fd uintptr) (n uint32, ok bool) {
	var info [memInfoWords]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info[memInfoDrops], errno == 0 && size >= uint32(unsafe.Sizeof(info))
}

// growQueue asks for a long queue of a socket: beyond what the system grants everybody
// (net.core.rmem_max) where this process may, up to that otherwise.
func growQueue(c syscall.Conn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // what it grants is what there is
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, kernelMemory) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, kernelMemory)
		}
	})
}
