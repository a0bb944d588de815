package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const handoverRequest = 6 // bytes: the request's number, the port

var errNotListening = errors.New("not listening yet")

// handover is the parent's end of the socketpair: it asks the child for sockets
// that are connected to the child's own listeners, which nobody else can reach.
type handover struct {
	mu     sync.Mutex
	conn   *net.UnixConn
	number uint32
}

// newHandover returns the parent's end and the file to give to the child.
func newHandover() (*handover, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "handover")
	ours := os.NewFile(uintptr(pair[0]), "handover")
	defer ours.Close()
	c, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return &handover{conn: c.(*net.UnixConn)}, theirs, nil
}

// dial asks for a connection to a port of the child. errNotListening is for
// trying again; other errors mean that the child is gone or stuck.
func (h *handover) dial(ctx context.Context, port int) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(10 * time.Second)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := h.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = h.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	h.number++
	request := binary.BigEndian.AppendUint32(nil, h.number)
	request = binary.BigEndian.AppendUint16(request, uint16(port))
	if _, err := h.conn.Write(request); err != nil {
		return nil, err
	}
	for {
		number, c, err := h.receive()
		if err != nil {
			return nil, because(ctx, err)
		}
		if number == h.number { // an older one is the answer to a request that was given up
			if c == nil {
				return nil, errNotListening
			}
			return c, nil
		}
		if c != nil {
			c.Close()
		}
	}
}

func (h *handover) receive() (number uint32, c net.Conn, err error) {
	var answer [4]byte
	rights := make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := h.conn.ReadMsgUnix(answer[:], rights)
	if err != nil {
		return 0, nil, err
	}
	if n != len(answer) {
		return 0, nil, errors.New("the store's process has gone")
	}
	number = binary.BigEndian.Uint32(answer[:])
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil || len(messages) == 0 {
		return number, nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return number, nil, err
	}
	f := os.NewFile(uintptr(fds[0]), "clickhouse")
	defer f.Close()
	c, err = net.FileConn(f)
	return number, c, err
}

func (h *handover) close() { _ = h.conn.Close() }

// because names ctx's end as the cause of an error that it made.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
