"""How every benchmark of models trains: silently, in the order of the data."""


def fit(model, batches, epochs, callbacks, validation=None):
    """Trains on endless batches, of which some steps make an epoch.

    Args:
        model: A compiled model.
        batches: Batches, and how many make an epoch, as of `Data.train`.
        epochs: Epochs.
        callbacks: Callbacks of Keras.
        validation: Batches on which callbacks may choose.
    """
    train, steps = batches
    model.fit(
        train,
        steps_per_epoch=steps,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        validation_data=validation,
    )
