// SPDX-License-Identifier: Apache-2.0

package journal_test

func crash() {}
