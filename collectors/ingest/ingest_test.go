package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/collectors/tail"
)

// stored is a stream in memory; sequences below first are gone.
type stored struct {
	texts []string
	first uint64
}

type message struct {
	sequence uint64
	text     string
}

func (m message) Sequence() uint64 { return m.sequence }
func (m message) Data() []byte     { return []byte(m.text) }

func (s *stored) follow(ctx context.Context, from uint64, handle func(context.Context, Message) error) error {
	for i := max(from, s.first, 1); i <= uint64(len(s.texts)); i++ {
		if i%3 == 0 {
			continue // of another subject
		}
		if err := handle(ctx, message{i, s.texts[i-1]}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// drain gives pieces until nothing comes.
func drain(t interface{ Fatal(...any) }, in *Input, wanted int) (pieces []tail.Piece) {
	n := 0
	for deadline := time.Now().Add(10 * time.Second); n < wanted; {
		piece, err := in.Next()
		if err != nil || time.Now().After(deadline) {
			t.Fatal(fmt.Sprintf("%d of %d lines: %v", n, wanted, err))
		}
		if len(piece.Data) == 0 {
			if err := in.Wait(context.Background(), time.Second); err != nil {
				t.Fatal(err)
			}
			continue
		}
		n += strings.Count(string(piece.Data), "\n")
		piece.Data = append([]byte(nil), piece.Data...)
		pieces = append(pieces, piece)
	}
	return pieces
}

// TestEveryMessageOnce reads, stops anywhere, goes on, and reads every piece again.
func TestEveryMessageOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stored
		want := 0
		for i := range rapid.IntRange(1, 60).Draw(t, "messages") {
			lines := rapid.IntRange(0, 4).Draw(t, "lines")
			text := ""
			for j := range lines {
				text += fmt.Sprintf("%d.%d\n", i+1, j)
			}
			if s.texts = append(s.texts, text); (i+1)%3 != 0 {
				want += lines
			}
		}
		var at tail.Position
		var all strings.Builder
		for done := 0; done < want; {
			in := New(Options{Subject: "test", Follow: s.follow})
			in.Resume(at, nil)
			for _, piece := range drain(t, in, rapid.IntRange(1, want-done).Draw(t, "until")) {
				again, err := in.Reread(piece.From, piece.To)
				if err != nil || string(again) != string(piece.Data) {
					t.Fatalf("%+v again: %q, %v; want %q", piece, again, err, piece.Data)
				}
				all.Write(piece.Data)
				done += strings.Count(string(piece.Data), "\n")
				at = piece.To
			}
			if err := in.Close(); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for i, text := range s.texts {
			if (i+1)%3 != 0 {
				n += strings.Count(all.String(), text)
			}
		}
		if got := strings.Count(all.String(), "\n"); got != want || want > 0 && n == 0 {
			t.Fatalf("%d lines, want %d", got, want)
		}
	})
}

func TestWhatIsGone(t *testing.T) {
	s := stored{texts: []string{"a", "b", "", "c"}, first: 4}
	in := New(Options{Subject: "test", Follow: s.follow})
	if _, err := in.Reread(place(0), place(2)); !errors.Is(err, tail.ErrGone) {
		t.Errorf("rereading: %v", err)
	}
	broken := New(Options{Subject: "weir.ingest.test", Follow: func(context.Context, uint64, func(context.Context, Message) error) error {
		return errors.New("no such stream")
	}})
	broken.Resume(tail.Position{}, nil)
	defer broken.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := broken.Next(); err != nil {
			if !strings.Contains(err.Error(), "weir.ingest.test: no such stream") {
				t.Error(err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a reader that failed says nothing")
		}
	}
}
