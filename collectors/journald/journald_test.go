package journald

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/collectors/intake"
	"github.com/weir-project/weir/collectors/tail"
)

// exported writes an entry as journalctl does: binary where the message has control
// characters.
func exported(out *bytes.Buffer, i int, unit, message string) {
	fmt.Fprintf(out, "__CURSOR=c%d\n__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n", i, 1795887339000000+i*1000, 1000+i*1000)
	fmt.Fprintf(out, "_MACHINE_ID=0123456789abcdef0123456789abcdef\nPRIORITY=6\n_SYSTEMD_UNIT=%s\n", unit)
	if strings.ContainsFunc(message, func(r rune) bool { return r < ' ' && r != '\t' }) {
		out.WriteString("MESSAGE\n")
		_ = binary.Write(out, binary.LittleEndian, uint64(len(message)))
		out.WriteString(message + "\n\n")
		return
	}
	fmt.Fprintf(out, "MESSAGE=%s\n\n", message)
}

// decode gives "cursor message" of each entry.
func decode(r io.Reader) (all []string, err error) {
	d := newDecoder(r)
	for {
		e, err := d.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		text := string(e.message)
		if e.long {
			text = "too long"
		}
		all = append(all, string(e.cursor)+" "+text)
	}
}

func TestExportFormat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		var want []string
		for i, message := range rapid.SliceOfN(rapid.StringMatching(`[ -~\n\x00é=]{0,200}`), 1, 20).Draw(t, "messages") {
			if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
				message = strings.Repeat("y", maxValue+rapid.IntRange(-5, 5).Draw(t, "by"))
			}
			exported(&out, i, "nginx.service", message)
			if len(message) > maxValue {
				message = "too long"
			}
			want = append(want, fmt.Sprintf("c%d %s", i, message))
		}
		for _, r := range []io.Reader{bytes.NewReader(out.Bytes()), iotest.HalfReader(bytes.NewReader(out.Bytes()))} {
			got, err := decode(r)
			if err != nil || strings.Join(got, "\x01") != strings.Join(want, "\x01") {
				t.Fatalf("%v: %.300q, want %.300q", err, got, want)
			}
		}
	})
}

func TestNoExportFormat(t *testing.T) {
	for text, want := range map[string]error{
		"":                  nil,
		"\n\n":              nil,
		"MESSAGE=a":         io.ErrUnexpectedEOF,
		"MESSAGE=a\n":       io.ErrUnexpectedEOF,
		"MESSAGE\n\x05\x00": io.ErrUnexpectedEOF,
		"MESSAGE\n\x01" + strings.Repeat("\x00", 7) + "ab\n\n": errFormat,
		"MESSAGE\n\xff" + strings.Repeat("\xff", 7) + "a\n\n":  errFormat,
		"=a\n\n":                            errFormat,
		strings.Repeat("N", 257) + "=a\n\n": errFormat,
		strings.Repeat("N=\n", maxFields+2): errFormat,
	} {
		if _, err := decode(strings.NewReader(text)); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", text, err, want)
		}
	}
}

func FuzzExport(f *testing.F) {
	var out bytes.Buffer
	exported(&out, 1, "nginx.service", "a")
	exported(&out, 2, "nginx.service", "a\x00b")
	f.Add(out.Bytes(), uint8(7))
	f.Add([]byte("MESSAGE\n\x05\x00\x00\x00\x00\x00\x00\x00abc"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		whole, err := decode(bytes.NewReader(data))
		pieces, errPieces := decode(&chopped{data, int(cut) + 1})
		if strings.Join(whole, "\x01") != strings.Join(pieces, "\x01") || (err == nil) != (errPieces == nil) {
			t.Fatalf("%q (%v) at once, %q (%v) in pieces", whole, err, pieces, errPieces)
		}
		for _, one := range whole {
			if len(one) > 2*maxValue+1 {
				t.Fatalf("an entry of %d bytes", len(one))
			}
		}
	})
}

type chopped struct {
	data []byte
	n    int
}

func (c *chopped) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.data)
	c.data = c.data[n:]
	return n, nil
}

// store has systemd-journal-remote write entries into a journal.
func store(t *testing.T, path string, first, n int) {
	t.Helper()
	const program = "/lib/systemd/systemd-journal-remote"
	_, err := os.Stat(program)
	if _, missing := exec.LookPath("journalctl"); err != nil || missing != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no journalctl and systemd-journal-remote: make setup")
		}
		t.Skip("no journalctl and systemd-journal-remote: apt-get install systemd-journal-remote")
	}
	var out bytes.Buffer
	for i := first; i < first+n; i++ {
		exported(&out, 3*i, "nginx.service", fmt.Sprintf("line %d", i))
		exported(&out, 3*i+1, "other.service", "not wanted")
		exported(&out, 3*i+2, "nginx.service", fmt.Sprintf("line %d, bell \a", i))
	}
	command := exec.Command(program, "--output="+path, "-")
	command.Stdin = &out
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("systemd-journal-remote: %v: %s", err, text)
	}
}

// gather reads pieces until so many lines have come, and each again.
func gather(t *testing.T, in *Input, n int) (lines []string, at tail.Position) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(lines) < n; {
		piece, err := in.Next()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d of %d lines: %v", len(lines), n, err)
		}
		if len(piece.Data) == 0 {
			if err := in.Wait(context.Background(), time.Second); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data := string(piece.Data)
		if again, err := in.Reread(piece.From, piece.To); err != nil || string(again) != data {
			t.Fatalf("%+v again: %q, %v; want %q", piece, again, err, data)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(data, "\n"), "\n")...)
		at = piece.To
	}
	return lines, at
}

// TestRealJournal follows a journal that systemd wrote, while it grows, stops, and goes
// on behind where it was.
func TestRealJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "remote.journal")
	store(t, path, 0, 50)
	o := Options{Units: []string{"nginx.service"}, Directory: dir}
	in := New(o)
	in.Resume(tail.Position{}, nil)
	lines, at := gather(t, in, 100)
	store(t, path, 50, 10) // while it is followed
	more, at2 := gather(t, in, 20)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	store(t, path, 60, 10) // while nobody follows
	again := New(o)
	again.Resume(at2, nil)
	rest, _ := gather(t, again, 20)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	lines = append(append(lines, more...), rest...)
	for i, got := range lines {
		want := fmt.Sprintf("line %d", i/2)
		if i%2 == 1 {
			want += ", bell \a"
		}
		if got != want {
			t.Fatalf("line %d is %q, want %q", i, got, want)
		}
	}
	if _, err := again.Reread(at, tail.Position{Offset: at.Offset + 5, Cursor: "s=none"}); !errors.Is(err, tail.ErrGone) {
		t.Errorf("a range that is not there: %v", err)
	}
}

func TestNoJournalctl(t *testing.T) {
	in := New(Options{Units: []string{"nginx.service"}, Command: filepath.Join(t.TempDir(), "none")})
	in.Resume(tail.Position{}, nil)
	defer in.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := in.Next(); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is said of it")
		}
	}
}

func TestLines(t *testing.T) {
	for text, want := range map[string]intake.Reason{"a\n": intake.Taken, " ": intake.Empty, "a\nb": intake.Broken} {
		if l := lineOf(&entry{message: []byte(text)}); l.reason != want {
			t.Errorf("%q: %v", text, l.reason)
		}
	}
}
