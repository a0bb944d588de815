package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/processor"
)

// secret keys the hashes of a processor, so that nobody outside can choose requests
// that collide. What was learned under one secret can be used under it only, and so
// it travels with the baseline: keep that as private as a log.
type secret [32]byte

func newSecret() (s secret) {
	_, _ = rand.Read(s[:]) // it never fails (crypto/rand)
	return s
}

// MarshalText is hexadecimal.
func (s secret) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText is the inverse.
func (s *secret) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(s[:], text[:min(len(text), 2*len(s))]); err != nil || n != len(s) || len(text) != 2*len(s) {
		return fmt.Errorf("a secret of %d bytes, not %d in hexadecimal", len(text), 2*len(s))
	}
	return nil
}

// baselineHead begins the first line of a baseline file; the secret follows.
const baselineHead = "weir baseline 1 "

// saveBaseline replaces a baseline file.
func saveBaseline(path string, key secret, engine *processor.Processor) error {
	return writeFile(path, func(w io.Writer) error {
		text, _ := key.MarshalText() // never fails
		if _, err := fmt.Fprintf(w, "%s%s\n", baselineHead, text); err != nil {
			return err
		}
		return engine.Save(w)
	})
}

// fromBaseline makes a processor that has learned what the file holds, under the
// file's secret; with path "" it has learned nothing, under the secret given.
func fromBaseline(c config.Config, path string, key secret, o processor.Options) (*processor.Processor, secret, error) {
	if path == "" {
		engine, err := newProcessor(c, key, o)
		return engine, key, err
	}
	key, in, err := openBaseline(path)
	if err != nil {
		return nil, key, err
	}
	defer in.Close()
	engine, err := newProcessor(c, key, o)
	if err != nil {
		return nil, key, err
	}
	if err := engine.Load(in); err != nil {
		return nil, key, usagef("read baseline %s: %w", path, err)
	}
	engine.Rewind() // what is read next may be of any time
	return engine, key, nil
}

// openBaseline reads the head of a baseline file, and leaves what was learned to be read.
func openBaseline(path string) (key secret, in io.ReadCloser, err error) {
	f, err := os.Open(path)
	if err != nil {
		return key, nil, usagef("read baseline %s: %w; weir learn writes one", path, unwrapPath(err))
	}
	buffered := bufio.NewReader(f)
	head := make([]byte, len(baselineHead)+2*len(key)+1)
	if _, err := io.ReadFull(buffered, head); err != nil || !strings.HasPrefix(string(head), baselineHead) || head[len(head)-1] != '\n' {
		_ = f.Close()
		return key, nil, usagef("read baseline %s: it is not one; weir learn writes one", path)
	}
	if err := key.UnmarshalText(head[len(baselineHead) : len(head)-1]); err != nil {
		_ = f.Close()
		return key, nil, usagef("read baseline %s: %w", path, err)
	}
	return key, struct {
		io.Reader
		io.Closer
	}{buffered, f}, nil
}
