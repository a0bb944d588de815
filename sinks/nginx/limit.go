package nginx

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// OwnLimit is where a configuration, as [Dump] prints it, has a limit_req of the site's own, or
// says how one answers; "" where there is none. nginx gives a server or a location either
// the limits of the level above or its own, never both, and takes each setting once: beside
// such a configuration weir's limit would count for some pages only, or make nginx refuse.
func OwnLimit(dump []byte, dir string) (where string, err error) {
	all, err := parseDump(string(dump))
	if err != nil {
		return "", err
	}
	own := findLimit(all, filepath.Join(dir, HTTPName)+":")
	if own == nil {
		return "", nil
	}
	return own.where + " " + own.words[0], nil
}

// findLimit is the first directive about limits outside the file whose places begin so.
func findLimit(block []directive, ours string) *directive {
	for i := range block {
		d := &block[i]
		if strings.HasPrefix(d.words[0], "limit_req") && d.words[0] != "limit_req_zone" && !strings.HasPrefix(d.where, ours) {
			return d
		}
		if own := findLimit(d.block, ours); own != nil {
			return own
		}
	}
	return nil
}

// Prepare installs the snippets beside a site's configuration so that nginx takes them: with
// a limit for unknown pages only where that configuration has none, and not at all where
// nginx would refuse them, which it says in the error; then those before stay. limited says
// whether those that are there now have that limit (Options.Limit).
func Prepare(ctx context.Context, dir string, o SnippetOptions, test []string, log *slog.Logger) (limited bool, err error) {
	d := directory{path: dir}
	before := d.snippets()
	if o.UnknownRate > 0 {
		dump, err := Dump(ctx, test, dir)
		own := ""
		if err == nil {
			own, err = OwnLimit(dump, dir)
		}
		switch {
		case err != nil && d.limited() && d.clashes(ctx, o, test):
			o.UnknownRate = 0
			log.Warn("what decisions throttle of unknown pages is refused, not limited: nginx refuses its configuration with weir's limit, and takes it without", "error", err)
		case err != nil && !d.limited(): // it is broken, or not there yet: the simpler one is safe
			o.UnknownRate = 0
			log.Warn("what decisions throttle of unknown pages is refused, not limited: nginx's configuration cannot be read", "error", err)
		case own != "":
			o.UnknownRate = 0
			log.Info("what decisions throttle of unknown pages is refused, not limited: the site has a limit_req of its own", "at", own)
		}
	}
	if err := Install(dir, o); err != nil {
		return d.limited(), err
	}
	if before == nil || same(before, d.snippets()) {
		return d.limited(), nil
	}
	e := Enforcer{options: Options{CommandTimeout: commandTimeout}, dir: d}
	refused := e.command(ctx, "test", test)
	if refused == nil {
		return d.limited(), nil
	}
	if err := d.putSnippets(before); err != nil {
		return d.limited(), fmt.Errorf("%w; and taking it back failed: %w", refused, err)
	}
	if e.command(ctx, "test", test) == nil {
		return d.limited(), fmt.Errorf("nginx refuses the snippets, those before stay: %w", refused)
	}
	return d.limited(), fmt.Errorf("nginx refuses its configuration with these snippets and with those before, which stay: %w", refused)
}

// clashes reports whether nginx, which refuses its configuration beside snippets with a limit,
// takes it beside those without, and leaves them there then.
func (d directory) clashes(ctx context.Context, o SnippetOptions, test []string) bool {
	with := d.snippets()
	o.UnknownRate = 0
	if with == nil || Install(d.path, o) != nil {
		return false
	}
	e := Enforcer{options: Options{CommandTimeout: commandTimeout}, dir: d}
	if e.command(ctx, "test", test) == nil {
		return true
	}
	_ = d.putSnippets(with) // where that fails those without stay, which are as good
	return false
}

// snippets are those in the directory, by name; nil where one is missing.
func (d directory) snippets() map[string][]byte {
	all := map[string][]byte{}
	for _, name := range []string{HTTPName, ServerName} {
		content, err := os.ReadFile(filepath.Join(d.path, name))
		if err != nil {
			return nil
		}
		all[name] = content
	}
	return all
}

func same(a, b map[string][]byte) bool {
	for name, content := range a {
		if !bytes.Equal(content, b[name]) {
			return false
		}
	}
	return len(a) == len(b)
}

// limited reports whether the snippets have a limit for unknown pages.
func (d directory) limited() bool {
	content, err := os.ReadFile(filepath.Join(d.path, HTTPName))
	return err == nil && bytes.Contains(content, []byte("limit_req_zone $weir_unknown "))
}
