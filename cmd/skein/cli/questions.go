package cli

// benchConversations are talks with the embedded shop, in both languages: quick answers, slots that are kept over
// turns, and a flow with steps.
var benchConversations = [][]string{
	{"where is my order SO10021", "when will it arrive", "when are you open"},
	{"我的订单SO10021到哪了", "什么时候能到", "你们几点开门"},
	{"do you have Runner X in size 39", "is size 42 still there", "where is my order SO10023"},
	{"跑鞋有39码吗", "那款鞋还有42码吗", "周末营业吗"},
}

// benchMessage gives the message that a session sends as its turn n. Sessions begin with different conversations.
func benchMessage(session, n int) string {
	conv := benchConversations[(session+n/len(benchConversations[0]))%len(benchConversations)]
	return conv[n%len(conv)]
}
