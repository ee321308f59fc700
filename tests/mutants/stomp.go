package main

const (
	stomp      = "pkg/stomp"
	stompTests = "tests/stomp"
)

// stompBugs lose, repeat or give away what STOMP clients have stored.
var stompBugs = []bug{
	{
		name: "stomp-01", what: "a stored cursor is one message ahead",
		file: stomp + "/window.go",
		old:  "c.Position.Offset = rest[0].before",
		new:  "c.Position.Offset = rest[0].offset",
		pkg:  stomp, run: "TestWindowOverLives",
	},
	{
		name: "stomp-02", what: "what was acknowledged out of order is forgotten in the life after the next",
		file: stomp + "/window.go",
		old:  "	c.Above = append(c.Above, w.early...)\n",
		new:  "",
		pkg:  stomp, run: "TestWindowOverLives",
	},
	{
		name: "stomp-03", what: "what moved to the dead messages while its connection ended comes again",
		file: stomp + "/dead.go",
		old:  "d != nil && err == nil {",
		new:  "d != nil && err != nil {",
		pkg:  stompTests, run: "TestRefusedAndGone",
	},
	{
		name: "stomp-04", what: "a consumer that leaves its group is not heard to the end",
		file: stomp + "/share.go",
		old:  "			g.report(s, last)\n",
		new:  "			_ = last\n",
		pkg:  stompTests, run: "TestChaos",
	},
	{
		name: "stomp-05", what: "what a group takes back while it reads is taken for removed",
		file: stomp + "/give.go",
		old:  "	at, _ := slices.BinarySearch(g.again, first)\n",
		new:  "	at := 0\n",
		pkg:  stompTests, run: "TestGroupOfMany|TestChaos",
	},
	{
		name: "stomp-06", what: "a transaction's ACKs are stored behind its messages",
		file: stomp + "/commit.go",
		old:  "PublishSaving(c.who, k.t.messages, k.sessions, func",
		new:  "PublishSaving(c.who, k.t.messages, k.sessions[:0], func",
		pkg:  "tests/kill", run: "TestKilledBehindTheAnswer",
	},
	{
		name: "stomp-07", what: "a user makes room by ending what is not there",
		file: stomp + "/record.go",
		old:  "	if r.loaded { // else it is not known whether there is anything\n",
		new:  "	if true {\n",
		pkg:  stompTests, run: "TestDurableLimit",
	},
	{
		name: "stomp-08", what: "users who use the same names share what is stored",
		file: stomp + "/kind.go",
		old:  " + realm + \"\\x00\" + user + \"\\x00\" + client",
		new:  " + realm + user[:0] + \"\\x00\" + client",
		pkg:  stompTests, run: "TestDurableOfOthers",
	},
	{
		name: "stomp-09", what: "a receipt says that sessions are stored which are not yet",
		file: local + "/commit.go",
		old:  "len(s.sessions) == 0 && e.settled(c, receipts)",
		new:  "e.settled(c, receipts)",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "stomp-10", what: "an ACK in a transaction counts before COMMIT",
		file: stomp + "/ack.go",
		old:  "			t.acks = append(t.acks, a)\n",
		new:  "			a.carryOut()\n",
		pkg:  stompTests, run: "TestAcksInTransactions",
	},
}
