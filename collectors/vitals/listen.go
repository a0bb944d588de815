package vitals

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/schemas"
)

// Of linux/sock_diag.h and linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	stateListen      = 10
	diagRequestBytes = 56 // struct inet_diag_req_v2
	diagAnswerBytes  = 72 // struct inet_diag_msg
)

// listenQueues asks the kernel for the listening TCP sockets of this network namespace,
// as ss -lt does: it walks those alone, however many connections there are. The fullest
// come first.
func listenQueues() ([]schemas.ListenQueue, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}) // without it the kernel answers, too
	var queues []schemas.ListenQueue
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := unix.Sendto(fd, diagRequest(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, fmt.Errorf("netlink: %w", err)
		}
		if queues, err = readDiag(fd, queues); err != nil {
			return nil, fmt.Errorf("netlink: %w", err)
		}
	}
	slices.SortFunc(queues, func(a, b schemas.ListenQueue) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Address, b.Address))
	})
	return queues[:min(len(queues), schemas.MaxListen)], nil
}

// diagRequest asks for the listening sockets of a family.
func diagRequest(family uint8) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+diagRequestBytes)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[16], b[17] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[20:], 1<<stateListen)
	return b
}

// maxListening bounds the sockets that are looked at.
const maxListening = 4096

// readDiag reads one dump.
func readDiag(fd int, queues []schemas.ListenQueue) ([]schemas.ListenQueue, error) {
	buffer := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return queues, err
		}
		var done bool
		if queues, done, err = parseDiag(buffer[:n], queues); done || err != nil {
			return queues, err
		}
	}
}

// parseDiag reads the messages of one datagram; done says that it was the dump's last.
func parseDiag(data []byte, queues []schemas.ListenQueue) (_ []schemas.ListenQueue, done bool, err error) {
	for len(data) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(data))
		if length < unix.NLMSG_HDRLEN || length > len(data) {
			return queues, true, unix.EBADMSG
		}
		body := data[unix.NLMSG_HDRLEN:length]
		switch binary.NativeEndian.Uint16(data[4:]) {
		case unix.NLMSG_DONE:
			return queues, true, nil
		case unix.NLMSG_ERROR:
			if len(body) < int(unsafe.Sizeof(int32(0))) {
				return queues, true, unix.EBADMSG
			}
			if code := -int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return queues, true, unix.Errno(code)
			}
			return queues, true, nil
		case sockDiagByFamily:
			if len(body) < diagAnswerBytes {
				return queues, true, unix.EBADMSG
			}
			if body[1] == stateListen && len(queues) < maxListening {
				queues = append(queues, queueOf(body))
			}
		}
		data = data[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(data)):]
	}
	return queues, false, nil
}

// queueOf reads a struct inet_diag_msg of a listening socket: its receive queue is what
// waits, its send queue what may (inet_diag, tcp_diag_get_info).
func queueOf(body []byte) schemas.ListenQueue {
	var address netip.Addr
	if body[0] == unix.AF_INET {
		address = netip.AddrFrom4([4]byte(body[8:12]))
	} else {
		address = netip.AddrFrom16([16]byte(body[8:24]))
	}
	return schemas.ListenQueue{
		Address: netip.AddrPortFrom(address, binary.BigEndian.Uint16(body[4:])).String(),
		Waiting: int64(binary.NativeEndian.Uint32(body[56:])),
		Most:    int64(binary.NativeEndian.Uint32(body[60:])),
	}
}
