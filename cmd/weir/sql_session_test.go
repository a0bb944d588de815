package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHistoryIsKeptAndBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir", "history")
	h := openHistory(path)
	for i := range maxHistory + 5 {
		h.Add(fmt.Sprintf("SELECT %d;", i))
	}
	h.Add("SELECT 1004;") // again
	h.Add(" ")
	again := openHistory(path)
	if again.Len() != maxHistory || again.At(0) != "SELECT 1004;" || again.At(maxHistory-1) != "SELECT 5;" {
		t.Errorf("%d lines, the last %q", again.Len(), again.At(0))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestPagerGetsWhatIsMoreThanAScreen(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "pager")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho paged $1\nexec cat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{3, 500} {
		out, err := os.Create(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		p := &pager{ctx: t.Context(), out: out, command: pagerOf(script + " first"), left: 10000, lines: 20}
		text := strings.Repeat("row\n", n)
		_, err = p.Write([]byte(text))
		if err := p.end(err); err != nil {
			t.Error(err)
		}
		want := text
		if n > 20 {
			want = "paged first\n" + text
		}
		if got, err := os.ReadFile(out.Name()); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%d lines: %v: %d bytes, want %d", n, err, len(got), len(want))
		}
	}
}

func TestWithoutAPager(t *testing.T) {
	for _, env := range []string{"cat", "cat -n", "/no/such/program -x"} {
		if command := pagerOf(env); command != nil {
			t.Errorf("%q: %q", env, command)
		}
	}
}

func TestRecipeNames(t *testing.T) {
	for query, want := range map[string]string{"@agents": "agents", " @agents ;": "agents", "@": "", "SELECT 1": "no"} {
		name, ok := recipeName(query)
		if !ok {
			name = "no"
		}
		if name != want {
			t.Errorf("%q is %q, want %q", query, name, want)
		}
	}
}
