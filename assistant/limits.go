package assistant

import "time"

// Limits of a definition. A file beyond them is refused with the line that goes too far.
const (
	maxFile      = 1 << 20 // bytes of a definition
	maxNesting   = 128     // columns of list dashes in a line, or open brackets
	maxFaults    = 100     // faults told at once
	maxIntents   = 128
	maxExamples  = 5000 // over all intents
	maxExample   = 500  // bytes of one example or synonym
	maxEntities  = 64
	maxSynonyms  = 5000 // over all values of one entity
	maxRegex     = 500  // bytes
	maxSlots     = 128
	maxTools     = 64
	maxFlows     = 128
	maxFlowSteps = 200 // compiled steps of one flow
	maxDepth     = 8   // steps inside steps
	maxFAQ       = 200 // entries
	maxQuestions = 20  // of one entry
	maxTests     = 500
	maxTemplate  = 4 << 10 // bytes
	maxExpr      = 500     // bytes
	maxExprDepth = 32
)

// Limits of a turn.
const (
	maxRead      = 400 // runes of a message that the understanding reads
	maxTurnSteps = 300 // steps that one turn may run
	maxStack     = 3   // flows that wait inside each other
	maxSlotText  = 1 << 10
	maxBody      = 256 << 10 // bytes of an HTTP tool's response
	maxResult    = 4 << 10   // bytes of what a session keeps of a tool's result
	maxJSONDepth = 16
	maxWritten   = 48 << 10 // bytes of a reply that a model may write
	maxPrompt    = 12 << 10 // bytes of history in a prompt
	maxRetries   = 3        // tries of an HTTP tool that only reads, after the first

	defaultTimeout = 5 * time.Second
	maxTimeout     = 60 * time.Second
)
