package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Drafts of post-mortems name clients that decisions were about, and stay beside the store:
// what is done to addresses there is done to them.

// namedAddress is an address, or a prefix, that stands by itself in a text, and not behind a
// slash, as the versions of browsers do.
var namedAddress = regexp.MustCompile(`(^|[^0-9A-Za-z.:/])((?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*)(/\d{1,3})?`)

// networks puts the network, an IPv4 /24 or an IPv6 /48, in the place of each address and each
// prefix that is narrower.
func networks(text []byte) []byte {
	return namedAddress.ReplaceAllFunc(text, func(found []byte) []byte {
		m := namedAddress.FindSubmatch(found)
		end := strings.TrimRight(string(m[2]), ".") // of the sentence
		address, err := netip.ParseAddr(end)
		if err != nil {
			return found
		}
		bits := 24
		if address = address.Unmap(); !address.Is4() {
			bits = 48
		}
		if len(m[3]) > 0 {
			if given, err := strconv.Atoi(string(m[3][1:])); err != nil || given <= bits {
				return found
			}
		}
		network, _ := address.Prefix(bits)
		return append(append(bytes.Clone(m[1]), network.String()...), m[2][len(end):]...)
	})
}

// truncateDrafts brings the addresses in a folder's drafts from before a time down to their
// networks.
func truncateDrafts(folder string, before time.Time) error {
	return eachDraft(folder, func(path string, info fs.FileInfo, text []byte) error {
		if clean := networks(text); info.ModTime().Before(before) && !bytes.Equal(clean, text) {
			return rewriteDraft(path, info, clean)
		}
		return nil
	})
}

func eachDraft(folder string, do func(path string, info fs.FileInfo, text []byte) error) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if !entry.Type().IsRegular() || !strings.HasSuffix(path, ".md") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			err = do(path, info, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rewriteDraft keeps the draft's time: by it is told when its addresses are to be truncated.
func rewriteDraft(path string, info fs.FileInfo, text []byte) error {
	if err := writeFile(path, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return err
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}
