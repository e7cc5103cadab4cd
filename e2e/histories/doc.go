// Package histories judges what concurrent clients of one mesh saw: the model of a session as a list that only grows, a
// recorder, and the check with porcupine. Its tests run real processes under faults; the replicas' own tests in
// virtual time use the same model.
//
// It promises: a record that was acknowledged and is missing later, one that is there twice, a read that is behind what
// was acknowledged before it began, and a retry whose reply differs from the first one are refused. A call
// whose outcome nobody knows may have happened, or not, at any time after it began. Sessions are judged one by one; what
// holds between two sessions is not looked at.
//
// It stores nothing but the picture of a refused history, where asked to.
package histories
