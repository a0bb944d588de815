package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// called is weir called in a text, up to what ends a command there; word and flag are its parts.
var (
	called = regexp.MustCompile("(?m)(?:^|[\\s`(/])weir((?: --(?:config|data) [^\\s`]+)* [a-z][^\\n`|#;&$]*)")
	flag   = regexp.MustCompile(`(?:^|\s)--([a-z][a-z0-9-]*)`)
)

// TestWhatIsDocumentedIsThere: each command that a document calls, with each of its flags, is one.
func TestWhatIsDocumentedIsThere(t *testing.T) {
	var p program
	parser, err := newParser(&p, screen{out: io.Discard, err: io.Discard}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"../../README.md", "../../CONTRIBUTING.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../docs/runbooks/*.md", "../../deploy/*/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	commands := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a folder
		}
		for _, call := range called.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\\\n", " "), -1) {
			node, flags := parser.Model.Node, flag.FindAllStringSubmatch(call[1], -1)
			for _, word := range strings.Fields(call[1]) {
				at := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word })
				if at >= 0 {
					node = node.Children[at]
				}
			}
			if node == parser.Model.Node {
				if len(flags) > 1 { // prose names weir, and not flags
					t.Errorf("%s: weir%s: no such command", file, call[1])
				}
				continue
			}
			if node.DefaultCmd != nil {
				node = node.DefaultCmd
			}
			commands++
			for _, f := range flags {
				if !slices.ContainsFunc(slices.Concat(node.AllFlags(false)...), func(k *kong.Flag) bool {
					return k.Name == f[1] || "no-"+k.Name == f[1]
				}) {
					t.Errorf("%s: weir%s: no flag --%s", file, call[1], f[1])
				}
			}
		}
	}
	if commands < 100 {
		t.Errorf("only %d commands found", commands)
	}
}
