"""The Hugging Face Hub: cards filled from what was measured, and pushing models, dataset cards and the Space.

Nothing is imported here: the network's classes come through `mixin` whenever they are imported.

    shipped           where the cards and the Space's files are
    front_matter, card_fields, card_tables, card_targets, model_card
    folders           what is uploaded, written into a folder, and what is refused
    from_package.py   the remote-code file of a pushed model
    push              the uploads, and their errors as sentences
    mixin             push_to_hub of model and video processor
    command           au-d3dface push
"""
