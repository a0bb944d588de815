package schemas

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata, or writes it under -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: what is on the wire has changed; if it must, count the version up.\n got %q\nwant %q", name, got, want)
	}
}

// ordinary is the n-th of a stream of requests as a busy site's log has them.
func ordinary(n int) Request {
	agents := []string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
	}
	k := n * 7919
	return Request{
		Time:             1_795_305_600_000 + int64(n)*13,
		Duration:         int64(900 + k%50_000),
		UpstreamDuration: int64(700 + k%50_000),
		Bytes:            int64(k % 100_000),
		Client:           netip.AddrFrom4([4]byte{198, 51, byte(k >> 8), byte(k)}),
		Status:           []uint16{200, 200, 200, 304, 404}[k%5],
		Cookie:           Cookie(1 + k%2),
		Fields:           FieldSite | FieldReferer | FieldUserAgent | FieldAcceptLanguage | FieldTLS | FieldCookie | FieldDuration,
		Site:             []byte("shop.example.org"),
		Method:           []byte("GET"),
		Path:             fmt.Appendf(nil, "/catalogue/%d/item-%d", k%40, k%900),
		Query:            []byte("page=2"),
		Protocol:         []byte("HTTP/2.0"),
		Referer:          fmt.Appendf(nil, "https://shop.example.org/catalogue/%d", k%40),
		UserAgent:        []byte(agents[k%len(agents)]),
		AcceptLanguage:   []byte("de,en;q=0.7"),
		TLS:              []byte("TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:P-256"),
		RequestID:        fmt.Appendf(nil, "%032x", k),
		CacheStatus:      []byte([]string{"HIT", "MISS"}[k%2]),
	}
}

func encoded(t testing.TB, requests ...Request) []byte {
	t.Helper()
	b := NewBuilder("edge-1", "/var/log/nginx/access.log")
	for i := range requests {
		if !b.Fits(&requests[i]) {
			t.Fatalf("row %d does not fit", i)
		}
		b.Append(&requests[i])
	}
	b.Batch().Number, b.Batch().Watermark = 7, 1_795_305_601_000
	message, err := EncodeBatch(nil, b.Batch())
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestBatchGolden(t *testing.T) {
	odd := Request{
		Time: 1_795_305_500_000, Client: netip.MustParseAddr("2001:db8::1"), Status: 400,
		Fields: ordinary(0).Fields, Method: []byte("\x16\x03\x01"), Path: []byte("/\xff\x00\n\t\"'"),
	}
	message := encoded(t, ordinary(0), ordinary(1), odd)
	golden(t, "batch.golden", message)
	b, err := DecodeBatch(message)
	if err != nil {
		t.Fatal(err)
	}
	if b.Edge != "edge-1" || b.Number != 7 || b.Watermark != 1_795_305_601_000 {
		t.Errorf("head: %v %v %v", b.Edge, b.Number, b.Watermark)
	}
	if id := b.MessageID(3); id != "edge-1//var/log/nginx/access.log/3/7" {
		t.Errorf("message id %q", id)
	}
}

var byText = cmp.Transformer("text", func(b []byte) string { return string(b) })
var byAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestBatchRoundTrip(t *testing.T) {
	builder := NewBuilder("e", "s") // one for all: Reset must forget everything
	rapid.Check(t, func(t *rapid.T) {
		fields := Fields(rapid.Uint32Range(0, 1<<11-1).Draw(t, "fields"))
		want := rapid.SliceOfN(genRequest(fields), 0, 40).Draw(t, "requests")
		builder.Reset()
		for i := range want {
			if !builder.Fits(&want[i]) {
				t.Fatalf("row %d does not fit", i)
			}
			builder.Append(&want[i])
		}
		if builder.Len() != len(want) {
			t.Fatalf("%d rows, want %d", builder.Len(), len(want))
		}
		message, err := EncodeBatch([]byte("before"), builder.Batch())
		if err != nil {
			t.Fatal(err)
		}
		b, err := DecodeBatch(bytes.TrimPrefix(message, []byte("before")))
		if err != nil {
			t.Fatal(err)
		}
		var rows Rows
		rows.Reset(b)
		if rows.Len() != len(want) {
			t.Fatalf("%d rows, want %d", rows.Len(), len(want))
		}
		for i := range want {
			var got Request
			if !rows.Next(&got) {
				t.Fatalf("ended at row %d of %d", i, len(want))
			}
			if diff := cmp.Diff(want[i], got, byText, byAddr); diff != "" {
				t.Fatalf("row %d (-want +got):\n%s", i, diff)
			}
		}
		if rows.Next(new(Request)) {
			t.Fatal("a row too many")
		}
	})
}

// The indices say the same as the rows.
func TestRowsIndices(t *testing.T) {
	b := NewBuilder("e", "s")
	for i := range 50 {
		r := ordinary(i)
		b.Append(&r)
	}
	var rows Rows
	rows.Reset(b.Batch())
	if rows.Row() != -1 {
		t.Errorf("row %d before the first", rows.Row())
	}
	var r Request
	for n := 0; rows.Next(&r); n++ {
		if rows.Row() != n {
			t.Errorf("row %d, want %d", rows.Row(), n)
		}
		for c, field := range r.textFields() {
			if got := rows.Texts()[rows.Indices(Column(c))[n]]; !bytes.Equal(got, *field) {
				t.Errorf("row %d, column %d: %q, want %q", n, c, got, *field)
			}
		}
		if !bytes.Equal(rows.Texts()[rows.Indices(ColumnExtra)[n]], r.Extra) || !bytes.Equal(rows.Texts()[rows.Indices(ColumnUserAgent)[n]], r.UserAgent) {
			t.Errorf("row %d: the names of the columns do not stand in their order", n)
		}
	}
	if rows.Len() != 50 || len(rows.Texts()) >= 50*textCount {
		t.Errorf("%d rows, %d strings", rows.Len(), len(rows.Texts()))
	}
}

// The generated code reads what is written by hand, and what it writes is read by hand.
func TestBatchIsItsProto(t *testing.T) {
	builder := NewBuilder("e", "s")
	rapid.Check(t, func(t *rapid.T) {
		builder.Reset()
		fields := Fields(rapid.Uint32().Draw(t, "fields"))
		requests := rapid.SliceOfN(genRequest(fields), 0, 20).Draw(t, "requests")
		if len(requests) > 0 && rapid.Bool().Draw(t, "alike") {
			requests = slices.Repeat(requests[:1], rapid.IntRange(1, 300).Draw(t, "rows"))
		}
		for i := range requests {
			builder.Append(&requests[i])
		}
		want := builder.Batch()
		want.Number, want.Watermark = rapid.Uint64().Draw(t, "number"), rapid.Int64().Draw(t, "watermark")
		want.Weight = rapid.SampledFrom([]float64{0, 1, 2, 64, MaxWeight}).Draw(t, "weight")
		var generated Batch
		if err := proto.Unmarshal(appendBatch(nil, want), &generated); err != nil {
			t.Fatal(err)
		}
		if len(generated.ProtoReflect().GetUnknown()) > 0 {
			t.Fatal("there are fields that batch.proto does not know")
		}
		for name, batch := range map[string]*Batch{"by hand": want, "generated, short": &generated} {
			raw, err := proto.Marshal(batch)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeBatch(compressed(raw))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !proto.Equal(want, got) {
				t.Errorf("%s:\n got %v\nwant %v", name, got, want)
			}
		}
	})
}

func TestBatchNamesAreUTF8(t *testing.T) {
	b := NewBuilder("\xff", "s").Batch()
	if _, err := EncodeBatch(nil, b); !errors.Is(err, ErrBatch) {
		t.Errorf("error %v, want ErrBatch", err)
	}
	if _, err := DecodeBatch(compressed(appendBatch(nil, b))); !errors.Is(err, ErrBatch) {
		t.Errorf("error %v, want ErrBatch", err)
	}
}

// A decoder forgets the batch before, also one that was refused half-way.
func TestBatchDecoderForgets(t *testing.T) {
	var d BatchDecoder
	torn, err := decompress(encoded(t, ordinary(3), ordinary(4)), MaxBatchDecoded)
	if err != nil {
		t.Fatal(err)
	}
	for i, message := range [][]byte{
		encoded(t, ordinary(0), ordinary(1), ordinary(2)), encoded(t, ordinary(5)), compressed(torn[:len(torn)-1]), encoded(t), encoded(t, ordinary(6)),
	} {
		want, wantErr := DecodeBatch(message)
		got, err := d.Decode(message)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("message %d: error %v, want %v", i, err, wantErr)
		}
		if err == nil && !proto.Equal(want, got) {
			t.Errorf("message %d: %v, want %v", i, got, want)
		}
	}
}

func genRequest(fields Fields) *rapid.Generator[Request] {
	text := func(most int) *rapid.Generator[[]byte] {
		return rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, min(most, 40)),
			rapid.Map(rapid.SampledFrom([]string{"", "a", "GET", "/", "example.org"}), func(s string) []byte { return []byte(s) }))
	}
	return rapid.Custom(func(t *rapid.T) Request {
		r := Request{
			Time:             rapid.Int64().Draw(t, "time"),
			Duration:         rapid.Int64Range(0, 1<<62).Draw(t, "duration"),
			UpstreamDuration: rapid.Int64Range(0, 1<<62).Draw(t, "upstream"),
			Bytes:            rapid.Int64Range(0, 1<<62).Draw(t, "bytes"),
			Status:           rapid.Uint16().Draw(t, "status"),
			Cookie:           Cookie(rapid.Uint8Range(0, 2).Draw(t, "cookie")),
			Fields:           fields,
		}
		if rapid.Bool().Draw(t, "v4") {
			r.Client = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "client")))
		} else {
			r.Client = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "client"))).Unmap()
		}
		for i, field := range r.textFields() {
			*field = text(textBounds[i]).Draw(t, "text")
		}
		return r
	})
}

// What an attacker sends to make batches large: everything random, as long as it
// may be. A batch must stay within MaxMessage all the same, because a message
// that NATS refuses would hold up its source for ever.
func TestBatchStaysInBounds(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, length := range []int{1, 8, 100, 1 << 20} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			b := NewBuilder(string(make([]byte, MaxSite)), string(make([]byte, MaxSource)))
			for n := int64(0); ; n++ {
				r := Request{Time: n % 2 << 62, Bytes: 1 << 62, Duration: 1 << 62, UpstreamDuration: 1 << 62, Status: 65535}
				for _, field := range r.textFields() {
					*field = make([]byte, length)
					random.Read(*field)
				}
				if !b.Fits(&r) {
					break
				}
				b.Append(&r)
			}
			raw, err := proto.Marshal(b.Batch())
			if err != nil {
				t.Fatal(err)
			}
			message, err := EncodeBatch(nil, b.Batch())
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > b.size {
				t.Errorf("%d bytes, reckoned with %d", len(raw), b.size)
			}
			if len(message) > MaxMessage {
				t.Errorf("a message of %d bytes", len(message))
			}
			if len(raw) < MaxMessage/2 && b.Len() < MaxRows {
				t.Errorf("only %d rows and %d bytes: batches are needlessly small", b.Len(), len(raw))
			}
			if _, err := DecodeBatch(message); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBatchKeepsFieldsApart(t *testing.T) {
	b := NewBuilder("e", "s")
	r := ordinary(1)
	b.Append(&r)
	r.Fields = FieldSite
	if b.Fits(&r) {
		t.Error("a row of other fields fits: its unknown fields would be taken for empty ones")
	}
	b.Reset()
	if !b.Fits(&r) {
		t.Error("an empty batch refuses a row")
	}
}

func TestBatchCutsStrings(t *testing.T) {
	r := Request{Path: bytes.Repeat([]byte("p"), 3*MaxText), Method: bytes.Repeat([]byte("m"), 100)}
	b, err := DecodeBatch(encoded(t, r))
	if err != nil {
		t.Fatal(err)
	}
	var rows Rows
	rows.Reset(b)
	var got Request
	rows.Next(&got)
	if len(got.Path) != MaxText || len(got.Method) != MaxMethod {
		t.Errorf("path of %d, method of %d bytes", len(got.Path), len(got.Method))
	}
}

// Each way in which a batch may not hold together is refused.
func TestBatchRefuses(t *testing.T) {
	bad := map[string]func(*Batch){
		"version":       func(b *Batch) { b.Version = BatchVersion + 1 },
		"no version":    func(b *Batch) { b.Version = 0 },
		"edge":          func(b *Batch) { b.Edge = string(make([]byte, MaxSite+1)) },
		"source":        func(b *Batch) { b.Source = string(make([]byte, MaxSource+1)) },
		"weight":        func(b *Batch) { b.Weight = -1 },
		"odd weight":    func(b *Batch) { b.Weight = 3 },
		"large weight":  func(b *Batch) { b.Weight = 2 * MaxWeight },
		"split weight":  func(b *Batch) { b.Weight = 0.5 },
		"clients":       func(b *Batch) { b.Client = b.Client[1:] },
		"index":         func(b *Batch) { b.Path[0] = 1 << 30 },
		"bound":         func(b *Batch) { b.Method[0] = b.UserAgent[0] },
		"short column":  func(b *Batch) { b.Tls = b.Tls[1:] },
		"long column":   func(b *Batch) { b.Status = append(b.Status, 1) },
		"two elements":  func(b *Batch) { b.Cookie = b.Cookie[:2] },
		"short clients": func(b *Batch) { b.Client4 = []byte{192, 0, 2, 1} },
		"no bits":       func(b *Batch) { b.Client, b.Client4 = b.Client[:32], []byte{192, 0, 2, 1} },
		"wrong bits": func(b *Batch) {
			b.Client, b.Client4, b.ClientLong = b.Client[:32], []byte{192, 0, 2, 1}, []byte{0b100}
		},
		"first string":  func(b *Batch) { b.StringLengths = b.StringLengths[1:] },
		"status":        func(b *Batch) { b.Status[0] = 70_000 },
		"cookie":        func(b *Batch) { b.Cookie[0] = 3 },
		"bytes":         func(b *Batch) { b.Bytes[0] = 1 << 63 },
		"strings":       func(b *Batch) { b.Strings = b.Strings[1:] },
		"string length": func(b *Batch) { b.StringLengths[1] = MaxText + 1 },
		"no strings":    func(b *Batch) { b.Strings, b.StringLengths = nil, nil },
		"empty strings": func(b *Batch) { b.StringLengths = append(b.StringLengths, make([]uint32, 100)...) },
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			builder := NewBuilder("e", "s")
			for i := range 3 {
				r := ordinary(i)
				builder.Append(&r)
			}
			batch := builder.Batch()
			spoil(batch)
			raw, err := proto.Marshal(batch)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeBatch(compressed(raw)); !errors.Is(err, ErrBatch) {
				t.Errorf("error %v, want ErrBatch", err)
			}
		})
	}
}

// Unmarshalling may keep the head of a torn message, but what it lets through
// must hold together.
func TestBatchTruncated(t *testing.T) {
	message := encoded(t, ordinary(0), ordinary(1))
	for n := range message {
		if _, err := DecodeBatch(message[:n]); !errors.Is(err, ErrBatch) {
			t.Errorf("%d of %d bytes: error %v, want ErrBatch", n, len(message), err)
		}
	}
	raw, err := decompress(message, MaxBatchDecoded)
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		walk(t, compressed(raw[:n]))
	}
}

func walk(t *testing.T, message []byte) {
	t.Helper()
	b, err := DecodeBatch(message)
	if err != nil {
		if !errors.Is(err, ErrBatch) {
			t.Errorf("error %v, want ErrBatch", err)
		}
		return
	}
	var rows Rows
	var r Request
	n := 0
	for rows.Reset(b); rows.Next(&r); n++ {
		if len(r.Site) > MaxSite || len(r.Path) > MaxText || r.Bytes < 0 || r.Duration < 0 || r.Cookie > CookieSome {
			t.Errorf("row %d is out of bounds: %+v", n, r)
		}
		PartitionOf(r.Client)
	}
	if n != rows.Len() {
		t.Errorf("%d rows of %d", n, rows.Len())
	}
}

func FuzzDecodeBatch(f *testing.F) {
	message := encoded(f, ordinary(0), ordinary(1))
	f.Add(message, true)
	raw, err := decompress(message, MaxBatchDecoded)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, false)
	f.Fuzz(func(t *testing.T, message []byte, whole bool) {
		if !whole { // let the fuzzer reach what lies behind the compression
			message = compressed(message)
		}
		walk(t, message)
		if b, err := DecodeBatch(message); err == nil {
			raw, _ := decompress(message, MaxBatchDecoded)
			var generated Batch
			if err := proto.Unmarshal(raw, &generated); err != nil {
				t.Fatalf("the generated code refuses it: %v", err)
			}
			if raw, err = (proto.MarshalOptions{}).Marshal(&generated); err != nil {
				t.Fatal(err)
			}
			if again, err := DecodeBatch(compressed(raw)); err != nil || !proto.Equal(again, b) {
				t.Fatalf("the generated code reads it as %v (%v), not %v", again, err, b)
			}
		}
	})
}

func TestPartitionOf(t *testing.T) {
	// Fixed for good: a collector and a processor of different versions must agree.
	for text, want := range map[string]int{
		"192.0.2.1": 1, "192.0.2.2": 6, "198.51.100.7": 5, "2001:db8::1": 3, "2001:db8:0:1::": 0, "2001:db8:0:9::1": 7,
	} {
		addr := netip.MustParseAddr(text)
		if got := PartitionOf(addr); got != want {
			t.Errorf("%s: partition %d, want %d", text, got, want)
		}
		if got := PartitionOf(netip.AddrFrom16(addr.As16())); got != want {
			t.Errorf("%s mapped: partition %d, want %d", text, got, want)
		}
		if got := PartitionOf(ClientOf(addr)); got != want {
			t.Errorf("%s: its client's partition %d, want %d", text, got, want)
		}
	}
	var count [Partitions]int
	for i := range 1 << 16 {
		count[PartitionOf(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}))]++
	}
	for p, n := range count {
		if n < 1<<12 || n > 1<<14 {
			t.Errorf("partition %d has %d of %d clients", p, n, 1<<16)
		}
	}
}
