"""Which parts of a model carry a behaviour: patching, circuits, attribution graphs, and audits of inner states.

`writers.py`      the projections through which heads and MLPs write into the residual stream
`pairs.py`        the same questions with the trigger and with a control of the same length
`nodes.py`        layer x (head or MLP) x group of positions
`patched_runs.py` running pairs with the values of some nodes exchanged
`screening.py`    attribution patching: every node from one backward pass
`patching.py`     exact patching of single nodes, both ways
`finding.py`      a small circuit that keeps the effect; faithfulness and completeness
`transcoders.py`  sparse stand-ins for the MLPs, `linearised.py` the model made linear around one prompt
`agreement.py`    how well the screen foretells exact patching
`tracing.py`      every effect of every feature on a prompt, kept in `traced_prompt.py`
`graph.py`        the attribution graph of it, cut by `pruning.py` to what matters; `graph_check.py` whether
                  it holds in the model, `graph_story.py` all of it for one prompt
`audits/`         what the inner state says beside what the output says
"""
