package haproxy

// matchingTable is the stick table that counts, by action, the requests that match.
const matchingTable = "weir_matching"

// Snippet is what HAProxy's configuration needs: the first part into global, the second
// first into each frontend that weir protects, the third beside them.
func Snippet(socket, path string) (global, frontend, counting string) {
	return "stats socket " + socket + " mode 600 level admin\n",
		"http-request set-var(txn.weir) src,map_ip(" + path + ")\n" +
			"http-request set-var(txn.weir_now) date()\n" +
			"http-request set-var(txn.weir_lease) str(255.255.255.255),map_ip(" + path + "),word(2,:),sub(txn.weir_now)\n" +
			"http-request set-var(txn.weir_left) var(txn.weir),word(2,:),sub(txn.weir_now)\n" +
			"acl weir_counts var(txn.weir) -m found\n" +
			"acl weir_leased var(txn.weir_lease) -m int gt 0\n" +
			"acl weir_lasts var(txn.weir_left) -m int gt 0\n" +
			"http-request track-sc2 var(txn.weir),word(1,:) table " + matchingTable + " if weir_counts weir_leased weir_lasts\n" +
			"http-request return status 403 content-type text/plain lf-string \"This request was refused to protect the site.\\nIf you are a visitor, please tell the site this reference: %[var(txn.weir),word(3,:)]\\n\" if weir_counts weir_leased weir_lasts { var(txn.weir) -m beg block: }\n" +
			"http-request return status 429 content-type text/plain hdr Retry-After 30 lf-string \"The site is very busy. Please try again in half a minute.\\nReference: %[var(txn.weir),word(3,:)]\\n\" if weir_counts weir_leased weir_lasts\n",
		"backend " + matchingTable + "\nstick-table type string len 16 size 16 store http_req_cnt\n"
}
