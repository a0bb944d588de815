package tail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-project/weir/collectors/accesslog"
)

// opened is an input's bytes, unpacked.
type opened struct {
	io.Reader
	file   *os.File // nil for standard input
	size   int64
	closes []func()
}

func (o *opened) close() {
	for i := len(o.closes) - 1; i >= 0; i-- {
		o.closes[i]()
	}
}

// openInput opens a file or standard input and unpacks it by what its first
// bytes say, whatever its name is.
func openInput(input Input, o *Options) (_ *opened, err error) {
	in := &opened{}
	var raw io.Reader
	if input.Path == "-" {
		if raw = o.Stdin; raw == nil {
			raw = os.Stdin
		}
	} else {
		if in.file, in.size, err = openFile(input.Path); err != nil {
			return nil, err
		}
		in.closes = append(in.closes, func() { in.file.Close() })
		raw = in.file
		if o.Progress != nil {
			raw = &counter{raw, &o.Progress.Done}
		}
	}
	buffered := bufio.NewReaderSize(raw, 64<<10)
	magic, _ := buffered.Peek(6) // shorter at the end; an error comes again when reading
	if in.Reader, err = in.unpack(buffered, magic); err != nil {
		in.close()
		return nil, fmt.Errorf("log %s: %w", input.Path, err)
	}
	return in, nil
}

func openFile(path string) (*os.File, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, pathError(path, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a directory: name the log files in it")
	}
	if err != nil {
		file.Close()
		return nil, 0, pathError(path, err)
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		size = 0
	}
	return file, size, nil
}

// pathError says in one line what is wrong with a log file.
func pathError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("log %s does not exist: %w", path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("log %s may not be read by this user: %w", path, fs.ErrPermission)
	}
	return fmt.Errorf("log %s: %w", path, err)
}

// maxWindow bounds what a zstd stream may ask for: what zstd --long writes.
const maxWindow = 128 << 20

func (o *opened) unpack(r *bufio.Reader, magic []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		plain, err := gzip.NewReader(r)
		if err != nil {
			return nil, brokenError("gzip", err)
		}
		ahead := newReadAhead(&named{plain, "gzip"})
		o.closes = append(o.closes, ahead.stop)
		return ahead, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		plain, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, brokenError("zstd", err)
		}
		o.closes = append(o.closes, plain.Close)
		return &named{plain, "zstd"}, nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return nil, errors.New("is packed with xz, which is not read: unpack it, or pipe it: xz -dc FILE | weir ... -")
	case bytes.HasPrefix(magic, []byte("BZh")):
		return nil, errors.New("is packed with bzip2, which is not read: unpack it, or pipe it: bzip2 -dc FILE | weir ... -")
	}
	return r, nil
}

// named says which packing is broken.
type named struct {
	io.Reader
	packing string
}

func (n *named) Read(p []byte) (int, error) {
	count, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = brokenError(n.packing, err)
	}
	return count, err
}

func brokenError(packing string, err error) error {
	return fmt.Errorf("the %s data is broken (%w): what lies before the break is used", packing, err)
}

// counter counts the bytes that were read.
type counter struct {
	io.Reader
	done *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.done.Add(int64(n))
	return n, err
}

// leastShare is the share of the first lines that a format must take to be the
// one found: logs are mixed with other messages, but not to this degree.
const leastShare = 0.05

// findFormat finds the format of a log from its first lines. Without any line it
// is Auto.
func findFormat(path string, lines [][]byte, raw []byte) (accesslog.Format, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return accesslog.Auto, nil
	}
	format, share := accesslog.Detect(lines)
	if share >= leastShare {
		return format, nil
	}
	names := strings.Join(accesslog.Names()[1:], ", ")
	if bytes.IndexByte(raw, 0) >= 0 {
		return format, fmt.Errorf("log %s: is a binary file, not a log in any known format (%s)", path, names)
	}
	return format, fmt.Errorf("log %s: not a log in any known format (%s): say which with --format", path, names)
}
