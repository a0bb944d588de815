package clickhouse

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Addresses is how clients' addresses are kept.
type Addresses string

// The ways to keep an address.
const (
	FullAddresses      Addresses = "full"
	TruncatedAddresses Addresses = "truncated" // the first of the IPv4 /24 or IPv6 /48
	HashedAddresses    Addresses = "hashed"    // fd00::/8 and 120 bits of an HMAC
)

// Privacy says what of requests is kept. The zero value keeps everything.
type Privacy struct {
	Addresses Addresses
	// Key is of hashed addresses, the same of an address while it stays, and of what the
	// rollups count clients by; where it is empty they count addresses as they are kept.
	Key []byte
	// DropValues leaves query values out, in referers too, but those of the keys named.
	DropValues bool
	KeepValues []string
}

// SetPrivacy is called before anything is written.
func (db *DB) SetPrivacy(p Privacy) { db.privacy = p }

// filter applies a Privacy to one writer's rows. Not for concurrent use.
type filter struct {
	addresses Addresses
	mac       hash.Hash
	sum       []byte
	counts    cipher.Block // nil: without a key
	counted   [16]byte     // scratch of it
	drop      bool
	keep      map[string]bool

	cleaned map[uint32]string // of a batch's string table
}

func newFilter(p Privacy) *filter {
	f := &filter{addresses: p.Addresses, drop: p.DropValues, keep: make(map[string]bool), cleaned: make(map[uint32]string)}
	if f.addresses == HashedAddresses {
		f.mac = hmac.New(sha256.New, p.Key)
	}
	if len(p.Key) > 0 {
		key := hmac.New(sha256.New, p.Key)
		key.Write([]byte("what rollups count"))
		f.counts, _ = aes.NewCipher(key.Sum(nil)) // 32 bytes are a key
	}
	for _, key := range p.KeepValues {
		f.keep[key] = true
	}
	return f
}

// count is by what the rollups count an address, as it is kept: one block of AES-256, so
// that there are as many of the one as of the other and nobody without the key knows which is
// whose, though there are few addresses (IPv4).
func (f *filter) count(kept [16]byte) [16]byte {
	if f.counts == nil {
		return kept
	}
	f.counted = kept
	f.counts.Encrypt(f.counted[:], f.counted[:])
	return f.counted
}

// client is how an address and its network are kept.
func (f *filter) client(client [16]byte) (kept, network [16]byte) {
	network = networkOf(client)
	switch f.addresses {
	case TruncatedAddresses:
		return network, network
	case HashedAddresses:
		return f.hash(client), f.hash(network)
	}
	return client, network
}

func (f *filter) hash(address [16]byte) (hashed [16]byte) {
	f.mac.Reset()
	f.mac.Write(address[:])
	f.sum = f.mac.Sum(f.sum[:0])
	copy(hashed[:], f.sum)
	hashed[0] = 0xfd // a unique local address (RFC 4193): no real client's
	return hashed
}

// appendTo appends a column of queries, or of referers, without their values.
func (f *filter) appendTo(column *text, indices []uint32, strings []string, clean func(string) string) {
	if !f.drop {
		column.append(indices, strings)
		return
	}
	f.appendCleaned(column, indices, strings, clean)
}

// appendExtra appends a column of what formats carry beyond the fields. Most carry nothing.
func (f *filter) appendExtra(column *text, indices []uint32, strings []string) {
	if !f.drop && f.addresses != TruncatedAddresses && f.addresses != HashedAddresses {
		column.append(indices, strings)
		return
	}
	f.appendCleaned(column, indices, strings, f.extra)
}

func (f *filter) appendCleaned(column *text, indices []uint32, strings []string, clean func(string) string) {
	clear(f.cleaned)
	var last uint32
	var kept string
	for i, index := range indices {
		if i == 0 || index != last {
			s, ok := f.cleaned[index]
			if !ok {
				s = clean(strings[index])
				f.cleaned[index] = s
			}
			last, kept = index, s
		}
		column.appendOne(kept)
	}
}

// maxKey is how long a part of a query without "=" may be to pass for a key: what is
// longer may be a token.
const maxKey = 32

// query leaves the values out: "a=1&b" is "a=&b".
func (f *filter) query(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for part := range strings.SplitAfterSeq(query, "&") {
		rest, and := strings.CutSuffix(part, "&")
		key, _, value := strings.Cut(rest, "=")
		switch {
		case f.keep[key]:
			b.WriteString(rest)
		case len(key) > maxKey: // nobody knows what it is
		case value:
			b.WriteString(key + "=")
		default:
			b.WriteString(key)
		}
		if and {
			b.WriteByte('&')
		}
	}
	return b.String()
}

// referer leaves out the values of a referer's query, and its fragment.
func (f *filter) referer(referer string) string {
	address, _, _ := strings.Cut(referer, "#")
	address, query, ok := strings.Cut(address, "?")
	if !ok {
		return address
	}
	return address + "?" + f.query(query)
}

// extra is what formats carry beyond the fields, name=value each: header fields hold addresses
// of clients (X-Real-IP) and queries (X-Original-URL), as fields do.
func (f *filter) extra(extra string) string {
	if f.drop && strings.Contains(extra, "=") {
		extra = f.extraValues(extra)
	}
	if f.addresses == TruncatedAddresses || f.addresses == HashedAddresses {
		extra = f.sentence(extra)
	}
	return extra
}

// argument is how nginx calls a query value: $arg_page.
const argument = "arg_"

func (f *filter) extraValues(extra string) string {
	if !strings.Contains(extra, "?") && !strings.Contains(extra, argument) {
		return extra
	}
	var b strings.Builder
	for pair := range strings.SplitAfterSeq(extra, "\t") {
		pair, tab := strings.CutSuffix(pair, "\t")
		name, value, _ := strings.Cut(pair, "=")
		key, ok := strings.CutPrefix(name, argument)
		switch {
		case ok && !f.keep[key]:
			b.WriteString(name + "=")
		case strings.Contains(value, "?"):
			b.WriteString(name + "=" + f.referer(value))
		default:
			b.WriteString(pair)
		}
		if tab {
			b.WriteByte('\t')
		}
	}
	return b.String()
}

// extraNetworks is, in SQL, what formats carry beyond the fields with addresses brought down
// to networks; those of IPv6, of which many are not written in one way, are left out.
const extraNetworks = `replaceRegexpAll(replaceRegexpAll(extra, '([0-9]{1,3}(?:\\.[0-9]{1,3}){2})\\.[0-9]{1,3}', '\\1.0'), ` +
	`'[0-9A-Fa-f:]*::[0-9A-Fa-f:.]*|(?:[0-9A-Fa-f]{1,4}:){4,}[0-9A-Fa-f:.]+', '(address)')`

// truncateLate is how much later than promised an address may be truncated, so that a
// day's rows are rewritten once and not with every block that has come of age.
const truncateLate = 24 * time.Hour

// Truncate brings addresses that were stored before a time down to their networks, in
// requests and in decisions with their reasons and evidence; a day of requests once the last of it is old enough, or
// the first of it a day too old.
func (db *DB) Truncate(ctx context.Context, before time.Time) error {
	var days []string
	err := db.Rows(ctx, `SELECT toString(toYYYYMMDD(time)) AS Day FROM requests WHERE client != network GROUP BY Day
HAVING max(stored_at) < `+Instant(before)+` OR min(stored_at) < `+Instant(before.Add(-truncateLate))+" ORDER BY Day", func(d *json.Decoder) error {
		var row struct{ Day string }
		if err := d.Decode(&row); err != nil {
			return err
		}
		days = append(days, row.Day)
		return nil
	})
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := db.change(ctx, "ALTER TABLE requests UPDATE client = network, extra = "+extraNetworks+" IN PARTITION '"+day+
			"' WHERE (client != network OR extra != "+extraNetworks+") AND stored_at < "+Instant(before)); err != nil {
			return err
		}
		db.log.Info("addresses truncated", "day", day)
	}
	return db.truncateDecisions(ctx, before)
}

func (db *DB) truncateDecisions(ctx context.Context, before time.Time) error {
	// A prefix narrower than a network names as few people as an address does.
	const first, bits = "splitByChar('/', value)[1]", "toUInt8OrZero(splitByChar('/', value)[2])"
	where := "(scope = 'client' OR scope = 'prefix' AND " + bits + " > if(isIPv4String(" + first + "), 24, 48)) AND NOT endsWith(value, '" + truncatedMark + "') AND stored_at < " + Instant(before)
	var n int
	if err := db.Rows(ctx, "SELECT count() AS N FROM decisions WHERE "+where, func(d *json.Decoder) error {
		var row struct{ N int }
		err := d.Decode(&row)
		n = row.N
		return err
	}); err != nil || n == 0 {
		return err
	}
	const network = "if(isIPv4String(" + first + "), IPv4NumToString(toIPv4(bitAnd(IPv4StringToNumOrDefault(" + first + "), 0xFFFFFF00))), " +
		"IPv6NumToString(tupleElement(IPv6CIDRToRange(toIPv6OrDefault(" + first + "), 48), 1)))"
	return db.change(ctx, "ALTER TABLE decisions UPDATE value = concat("+network+", '"+truncatedMark+"'), reason = replaceAll(reason, value, "+network+
		"), evidence = replaceAll(evidence, value, "+network+") WHERE "+where)
}

// change runs a statement that rewrites rows, and waits until they are.
func (db *DB) change(ctx context.Context, statement string) error {
	return db.Query(ctx, statement, QueryOptions{Write: true, Settings: map[string]any{"mutations_sync": 2}}, io.Discard)
}

// Erased is what Erase did.
type Erased struct {
	Requests  uint64 `json:"requests"`  // rows removed
	Decisions uint64 `json:"decisions"` // rows in which the address was replaced
	Incidents uint64 `json:"incidents"`
}

// ErasedText stands where an erased address stood.
const ErasedText = "(erased)"

// Erase removes the requests of an address and replaces it where events name it. The
// rollups keep counting its requests: they hold no addresses.
func (db *DB) Erase(ctx context.Context, client netip.Addr) (Erased, error) {
	client = client.Unmap().WithZone("")
	as16 := client.As16()
	kept, _ := newFilter(db.privacy).client(as16)
	same := []string{"toIPv6(" + Literal(client.String()) + ")"}
	if db.privacy.Addresses == HashedAddresses {
		same = append(same, "toIPv6("+Literal(netip.AddrFrom16(kept).String())+")")
	}
	requests := "client IN (" + strings.Join(same, ", ") + ")"
	// An address ends where no digit, letter, dot or colon follows it: 192.0.2.1 is not in 192.0.2.10.
	// Decisions name a client of IPv6 by its /64.
	names := []string{client.String(), client.StringExpanded(), schemas.ClientOf(client).String()}
	if db.privacy.Addresses == HashedAddresses {
		f := newFilter(db.privacy)
		names = append(names, f.address(client), f.address(schemas.ClientOf(client)))
	}
	pattern := Literal(`(?i)(^|[^0-9a-f.:])(?:` + strings.ReplaceAll(strings.Join(names, "|"), ".", `\.`) + `)($|[^0-9a-f.:]|\.($|[^0-9]))`)
	replaced := func(column string) string {
		value := column
		for range 2 { // neighbours share the character between them
			value = "replaceRegexpAll(" + value + ", " + pattern + ", " + Literal(`\1`+ErasedText+`\2`) + ")"
		}
		return column + " = " + value
	}
	decisions := "match(value, " + pattern + ") OR match(reason, " + pattern + ") OR match(evidence, " + pattern + ")"
	incidents := "match(cause, " + pattern + ")"
	named := "match(extra, " + pattern + ")" // by a proxy's header field, in another's request
	var found struct {
		Erased
		Others uint64
	}
	err := db.Rows(ctx, "SELECT (SELECT count() FROM requests WHERE "+requests+") AS Requests, (SELECT count() FROM requests WHERE NOT "+requests+" AND "+named+
		") AS Others, (SELECT count() FROM decisions WHERE "+decisions+
		") AS Decisions, (SELECT count() FROM incidents WHERE "+incidents+") AS Incidents", func(d *json.Decoder) error { return d.Decode(&found) })
	e := found.Erased
	if err != nil {
		return e, err
	}
	for _, step := range []struct {
		n         uint64
		statement string
	}{
		{e.Requests, "ALTER TABLE requests DELETE WHERE " + requests},
		{found.Others, "ALTER TABLE requests UPDATE " + replaced("extra") + " WHERE " + named},
		{e.Decisions, "ALTER TABLE decisions UPDATE " + replaced("value") + ", " + replaced("reason") + ", " + replaced("evidence") + " WHERE " + decisions},
		{e.Incidents, "ALTER TABLE incidents UPDATE " + replaced("cause") + " WHERE " + incidents},
	} {
		if step.n == 0 {
			continue
		}
		if err := db.change(ctx, step.statement); err != nil {
			return e, fmt.Errorf("erase: %w", err)
		}
	}
	if err := db.vanish(ctx, "requests", "decisions", "incidents"); err != nil {
		return e, fmt.Errorf("erase: what was rewritten is still on disk, ClickHouse removes it in some ten minutes: %w", err)
	}
	return e, nil
}

// vanishAtMost is how long is waited for files to be removed; a query that reads them keeps them.
const vanishAtMost = 2 * time.Minute

// vanish has ClickHouse remove from disk what it has rewritten, which it keeps for eight
// minutes otherwise, and the statements by which it did.
func (db *DB) vanish(ctx context.Context, tables ...string) (err error) {
	quoted := "'" + strings.Join(tables, "', '") + "'"
	for _, table := range tables {
		if err := db.change(ctx, "ALTER TABLE "+table+" MODIFY SETTING old_parts_lifetime = 1"); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, db.change(context.WithoutCancel(ctx), "ALTER TABLE "+table+" RESET SETTING old_parts_lifetime"))
		}()
	}
	waiting, cancel := context.WithTimeout(ctx, vanishAtMost)
	defer cancel()
	for {
		var left struct{ Parts, Mutations int }
		if err := db.Rows(waiting, `SELECT (SELECT count() FROM system.parts WHERE database = currentDatabase() AND table IN (`+quoted+`) AND NOT active) AS Parts,
	(SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table IN (`+quoted+`) AND is_done) AS Mutations`,
			func(d *json.Decoder) error { return d.Decode(&left) }); err != nil {
			return err
		}
		if left.Mutations > 0 {
			if err := db.change(waiting, "KILL MUTATION WHERE database = currentDatabase() AND table IN ("+quoted+") AND is_done"); err != nil {
				return err
			}
		}
		if left.Parts == 0 {
			return nil
		}
		for _, table := range tables { // it looks for what is to be removed then, and otherwise every half minute
			if err := db.change(waiting, "ALTER TABLE "+table+" DROP PARTITION ID 'none'"); err != nil {
				return err
			}
		}
		select {
		case <-waiting.Done():
			return waiting.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}
