package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// childDir tells this test binary to be the process that is killed.
const childDir = "WEIR_BUS_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		publishForEver(dir)
	}
	os.Exit(m.Run())
}

// publishForEver prints the number of each message once it is acknowledged.
func publishForEver(dir string) {
	b, err := Open(context.Background(), Options{Dir: dir, StartTimeout: time.Minute})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	last, _ := b.LastSequence(context.Background(), schemas.StreamRequests)
	for n := last + 1; ; n++ {
		text := strconv.FormatUint(n, 10)
		if err := b.Publish(context.Background(), schemas.SubjectRequests(0), text, []byte(text)); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("acknowledged", text)
	}
}

// What was acknowledged is there after SIGKILL, each once and in order.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	acknowledged := 0
	for round := range 4 {
		acknowledged = killAfter(t, dir, acknowledged, 50+100*round)
	}
	b := open(t, Options{Dir: dir})
	last, err := b.LastSequence(t.Context(), schemas.StreamRequests)
	if err != nil {
		t.Fatal(err)
	}
	if last < uint64(acknowledged) {
		t.Fatalf("%d were acknowledged, the stream has %d", acknowledged, last)
	}
	next := uint64(1)
	finished := errors.New("finished")
	err = b.Follow(t.Context(), FollowOptions{Stream: schemas.StreamRequests}, func(_ context.Context, m *Message) error {
		if m.Sequence() != next || string(m.Data()) != strconv.FormatUint(next, 10) {
			return fmt.Errorf("message %d holds %q, want %d", m.Sequence(), m.Data(), next)
		}
		if next++; next > last {
			return finished
		}
		return nil
	})
	if !errors.Is(err, finished) {
		t.Fatal(err)
	}
}

// killAfter starts the child, kills it after some more acknowledgements, and
// returns the number of the last one it had reported.
func killAfter(t *testing.T, dir string, acknowledged, more int) int {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "acknowledged ")
		if !ok {
			t.Errorf("the child says: %s", lines.Text())
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n <= acknowledged {
			t.Fatalf("after %d came %q", acknowledged, text)
		}
		acknowledged = n
		if more--; more == 0 && !killed {
			killed = true // what it has written meanwhile is still read
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait()
	if !killed {
		t.Fatal("the child ended by itself")
	}
	return acknowledged
}
