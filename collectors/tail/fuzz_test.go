package tail

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// FuzzPacked reads logs that are packed, whole, cut off, or with a byte changed, and what is
// none but says so in its first bytes. A whole one gives what its plain form gives; of any,
// a read ends, and each line that it gives was refused or parsed. The same file beside a log
// that is followed harms nothing: what is appended to the log comes.
func FuzzPacked(f *testing.F) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	text := []byte(strings.Repeat(line(1, "a")+"\x16\x03\x01\n"+line(2, "b"), 20))
	for kind := range byte(4) {
		f.Add(text, kind, uint16(0), byte(0))
		f.Add(text, kind, uint16(30), byte(0))
		f.Add(text, kind, uint16(40), byte(8))
	}
	f.Fuzz(func(t *testing.T, text []byte, kind byte, at uint16, change byte) {
		var packed []byte
		switch kind % 4 {
		case 0:
			packed = gzipped(text)
		case 1:
			packed = encoder.EncodeAll(text, nil)
		case 2:
			packed = append([]byte{0x1f, 0x8b, 8}, text...)
		case 3:
			packed = append([]byte{0x28, 0xb5, 0x2f, 0xfd}, text...)
		}
		whole := kind%4 < 2 && at == 0
		if n := int(at) % (len(packed) + 1); at != 0 && change == 0 {
			packed = packed[:n]
		} else if at != 0 && n < len(packed) {
			packed[n] ^= change
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "access.log")
		write := func(path string, content []byte) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		name := path + ".2.gz"
		if kind%2 == 1 {
			name = path + ".2.zst"
		}
		write(name, packed)
		got, _, err := flat(t, Options{}, Input{Path: name})
		if whole {
			plain := filepath.Join(dir, "plain")
			write(plain, text)
			want, _, plainly := flat(t, Options{}, Input{Path: plain})
			// A file that is packed twice is unpacked once.
			if again := bytes.HasPrefix(text, []byte{0x1f, 0x8b}) || bytes.HasPrefix(text, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
				bytes.HasPrefix(text, []byte("BZh")) || bytes.HasPrefix(text, []byte("\xfd7zXZ")); !again && (got != want || (err == nil) != (plainly == nil)) {
				t.Fatalf("packed: %q, %v; plain: %q, %v", got, err, want, plainly)
			}
		}
		write(path, []byte(line(5, "first")))
		follower := NewFollower(path, FollowOptions{})
		defer follower.Close()
		var followed []byte
		for {
			piece, err := follower.Next()
			if err != nil {
				t.Fatal(err)
			}
			if len(piece.Data) == 0 {
				break
			}
			followed = append(followed, piece.Data...)
		}
		if !bytes.HasSuffix(followed, []byte(line(5, "first"))) {
			t.Fatalf("followed: %q", followed)
		}
	})
}
