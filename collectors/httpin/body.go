package httpin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-project/weir/collectors/intake"
)

// Why a body cannot be read.
var (
	errEncoding = errors.New("an encoding that is not known")
	errPacked   = errors.New("it cannot be unpacked")
	errLarge    = errors.New("it unpacks to too much")
)

// body is one being read; its memory serves the next one.
type body struct {
	unpacked []byte
	lines    intake.Body
	gzip     *gzip.Reader
	zstd     *zstd.Decoder
}

// maxWindow bounds what a zstd body may make its decoder keep, in bytes (RFC 8878,
// section 3.1.1.1.2, has 8 MiB for what every decoder should support).
const maxWindow = 8 << 20

// read unpacks a body, up to a bound on what comes out.
func (b *body) read(source io.Reader, encoding string, most int64) error {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return b.fill(source, most)
	case "gzip", "x-gzip":
		if b.gzip == nil {
			b.gzip = new(gzip.Reader)
		}
		if err := b.gzip.Reset(source); err != nil {
			return packed(err)
		}
		if err := b.fill(b.gzip, most); err != nil {
			return packed(err)
		}
		return nil
	case "zstd":
		if b.zstd == nil {
			var err error
			b.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
			if err != nil {
				return err
			}
		}
		if err := b.zstd.Reset(source); err != nil {
			return packed(err)
		}
		if err := b.fill(b.zstd, most); err != nil {
			return packed(err)
		}
		return nil
	}
	return fmt.Errorf("%.40q: %w", encoding, errEncoding)
}

// packed says that an error is the packed body's, unless it is the connection's or a
// bound's.
func packed(err error) error {
	if errors.Is(err, errLarge) {
		return err
	}
	return fmt.Errorf("%w: %w", errPacked, err)
}

// keepBody is how much memory a body may leave to the next one, in bytes.
const keepBody = 1 << 20

// fill reads all that source gives, and errLarge where that is more than most.
func (b *body) fill(source io.Reader, most int64) error {
	if cap(b.unpacked) > keepBody {
		b.unpacked = nil
	}
	out := bytes.NewBuffer(b.unpacked[:0])
	n, err := out.ReadFrom(io.LimitReader(source, most+1))
	b.unpacked = out.Bytes()
	if err == nil && n > most {
		return errLarge
	}
	return err
}
