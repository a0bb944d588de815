package embedded

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childName is the child's argv[0]: how a process knows that it is one, and what
// a person sees in ps.
const childName = "weir-clickhouse"

// The child's file descriptors beside the standard ones.
const (
	childHandover = 3 // the socketpair on which connections are asked for and given
	childLock     = 4 // the store's lock, held as long as either process lives
)

// How a child ends, where it says so itself.
const (
	exitLibrary   = 93 // the library cannot be loaded
	exitNamespace = 94 // the private network cannot be brought up
	exitEngine    = 95 // ClickHouse ended with an error, which is on stderr
)

// childGrace is how long a child whose parent has gone may take to stop by itself.
const childGrace = 10 * time.Second

// ChildMain must be the first call of main, and of TestMain where a test opens a
// Store: weir starts its own executable again as the process that holds
// ClickHouse. In that process it never returns; in every other it does nothing.
func ChildMain() {
	if len(os.Args) < 3 || os.Args[0] != childName {
		return
	}
	os.Exit(child(os.Args[1], os.Args[2], os.Args[3:]))
}

// child runs ClickHouse until its standard input ends, which the engine itself
// reads: when the parent closes it or dies. Signals meant for the parent's group
// (a terminal's ^C, systemd's TERM to every process) must not stop the engine
// before the writers are done.
func child(path, isolation string, args []string) int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	unix.CloseOnExec(childHandover)
	unix.CloseOnExec(childLock)
	if isolation == isolateNamespace {
		if err := raiseLoopback(); err != nil {
			fmt.Fprintln(os.Stderr, "bring up the loopback interface:", err)
			return exitNamespace
		}
	}
	go serveHandover()
	engine, err := loadLibrary(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitLibrary
	}
	if err := engine.run(append([]string{"clickhouse"}, args...)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitEngine
	}
	return 0
}

// raiseLoopback brings up lo, which is down in a new network namespace.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// serveHandover answers each request (4 bytes of its number, 2 of a port, big
// endian) with the number and, where the port took a connection, its descriptor.
// It ends the process, after a grace, when the parent has gone.
func serveHandover() {
	request := make([]byte, handoverRequest)
	for {
		n, err := unix.Read(childHandover, request)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			time.Sleep(childGrace)
			os.Exit(exitEngine)
		}
		if n == handoverRequest {
			answerHandover(request)
		}
	}
}

func answerHandover(request []byte) {
	port := int(request[4])<<8 | int(request[5])
	var rights []byte
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err == nil {
		defer c.Close()
		if f, err := c.(*net.TCPConn).File(); err == nil {
			defer f.Close()
			rights = unix.UnixRights(int(f.Fd()))
		}
	}
	// Where it fails the parent has gone, and the next read says so.
	_ = unix.Sendmsg(childHandover, request[:4], rights, nil, unix.MSG_NOSIGNAL)
}
